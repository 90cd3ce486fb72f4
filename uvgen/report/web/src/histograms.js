// Histograms of the overview, by uPlot; a bar leads to the gallery's samples in it.

import uPlot from "uplot";

/** @typedef {import("./data.js").Histogram} Histogram */

const HEIGHT = 170;

/** @param {number} value */
const shown = (value) => value.toLocaleString("en", { maximumFractionDigits: 6 });

/** @param {HTMLElement} place @param {Histogram[]} histograms
 * @param {(column: string, low: number, high: number, text: string) => void} choose */
export function drawHistograms(place, histograms, choose) {
  /** @type {uPlot[]} */
  const plots = [];
  for (const histogram of histograms) plots.push(draw(place, histogram, choose));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => plots.forEach((plot) => plot.redraw(false, true)));
}

/** @param {Histogram} of @param {number} bin */
function ends(of, bin) {
  const low = of.first + bin * of.width;
  return [Number(low.toPrecision(12)), Number((low + of.width).toPrecision(12))];
}

/** @param {HTMLElement} place @param {Histogram} of
 * @param {(column: string, low: number, high: number, text: string) => void} choose */
function draw(place, of, choose) {
  const figure = document.createElement("figure");
  const title = document.createElement("figcaption");
  const said = document.createElement("p");
  const canvas = document.createElement("div");
  const unit = of.unit && (of.unit === "px" ? ` ${of.unit}` : of.unit);
  title.textContent = of.title;
  said.textContent = `median ${shown(of.median)}${unit}, from ${shown(of.low)}${unit} to ${shown(of.high)}${unit}`;
  canvas.setAttribute("aria-hidden", "true");
  figure.append(title, said, canvas, numbers(of, unit));
  place.append(figure);

  const choosing = (/** @type {number} */ bin) => {
    const last = bin === of.counts.length - 1; // which holds what lies beyond, too
    const [low, high] = ends(of, bin);
    const scale = of.column === "nme" ? 0.01 : 1;
    const text = `${of.title} ${shown(low)} to ${last ? shown(Math.max(high, of.high)) : shown(high)}${unit}`;
    choose(of.column, low * scale, last ? Infinity : high * scale, text);
  };
  const color = (/** @type {string} */ name) => () => getComputedStyle(document.body).getPropertyValue(name).trim();
  const bars = /** @type {NonNullable<typeof uPlot.paths.bars>} */ (uPlot.paths.bars)({ size: [0.9, Infinity], align: 1 });
  const axis = { stroke: color("--quiet"), grid: { stroke: color("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
  const starts = of.counts.map((_, bin) => ends(of, bin)[0]);
  const plot = new uPlot(
    {
      width: Math.max(200, canvas.clientWidth || 280),
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { show: false } },
      scales: { x: { time: false, range: [starts[0], ends(of, of.counts.length - 1)[1]] }, y: { range: (_, __, top) => [0, top * 1.05 || 1] } },
      axes: [{ ...axis, size: 24, grid: { show: false } }, { ...axis, size: 44 }],
      series: [{}, { paths: bars, fill: color("--bar"), stroke: color("--bar"), width: 0, points: { show: false } }],
    },
    [starts, of.counts],
    canvas,
  );
  const bin = () => {
    const left = plot.cursor.left ?? -1;
    if (left < 0) return -1;
    return Math.min(of.counts.length - 1, Math.max(0, Math.floor((plot.posToVal(left, "x") - of.first) / of.width)));
  };
  plot.over.addEventListener("mousemove", () => {
    const k = bin();
    if (k >= 0) plot.over.title = `${ends(of, k).map(shown).join(" to ")}${unit}: ${shown(of.counts[k])} samples`;
  });
  if (of.column) {
    plot.over.style.cursor = "pointer";
    plot.over.addEventListener("click", () => bin() >= 0 && choosing(bin()));
  }
  new ResizeObserver(() => {
    if (canvas.clientWidth) plot.setSize({ width: canvas.clientWidth, height: HEIGHT });
  }).observe(figure);
  figure.addEventListener("choose", (event) => choosing(/** @type {CustomEvent} */ (event).detail));
  return plot;
}

/** The same as a table. @param {Histogram} of @param {string} unit */
function numbers(of, unit) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "as numbers";
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const table = document.createElement("table");
    table.innerHTML = '<thead><tr><th scope="col">from, to</th><th scope="col" class="number">samples</th></tr></thead>';
    const body = table.createTBody();
    of.counts.forEach((count, bin) => {
      if (!count) return;
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = `${ends(of, bin).map(shown).join(" to ")}${unit}`;
      row.append(head);
      const cell = row.insertCell();
      cell.className = "number";
      if (!of.column) {
        cell.textContent = shown(count);
        return;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = shown(count);
      button.setAttribute("aria-label", `${shown(count)} samples: show them`);
      button.addEventListener("click", () =>
        details.dispatchEvent(new CustomEvent("choose", { detail: bin, bubbles: true })),
      );
      cell.append(button);
    });
    details.append(table);
  });
  return details;
}
