// Histograms of the overview: each bar is a link to the gallery of its samples, over the full height.

import { count, decimal, withUnit } from "./text.js";
import { rangeText } from "./filters.js";

/** @typedef {import("./data.js").Histogram} Histogram */
/** @typedef {{low: number, high: number, count: number, text: string, href: string}} Bin */

const FEW = 20; // up to here a single sample shows on a linear axis
const MOST_TICKS = 6;

/** @param {HTMLElement} place @param {Histogram[]} histograms */
export function drawHistograms(place, histograms) {
  for (const histogram of histograms) place.append(draw(histogram));
}

/** All bins, with the open ones at the ends where they hold something. @param {Histogram} of @returns {Bin[]} */
function binsOf(of) {
  const last = of.edges.length - 1;
  /** @type {[number, number, number][]} */
  const bins = of.counts.map((n, k) => [of.edges[k], of.edges[k + 1], n]);
  if (of.under) bins.unshift([-Infinity, of.edges[0], of.under]);
  if (of.over) bins.push([of.edges[last], Infinity, of.over]);
  return bins.map(([low, high, n]) => {
    const ends = low === -Infinity ? `below ${decimal(high)}` : high === Infinity ? `${decimal(low)} or more` : `${decimal(low)} to ${decimal(high)}`;
    const text = high === Infinity ? `${withUnit(decimal(low), of.unit)} or more` : withUnit(ends, of.unit);
    return { low, high, count: n, text, href: `#gallery?${of.column}=${rangeText({ low, high, below: high !== Infinity })}` };
  });
}

/** @param {Histogram} of */
function draw(of) {
  const figure = document.createElement("figure");
  const bins = binsOf(of);
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  const log = most > FEW;
  const height = (/** @type {number} */ n) => 100 * (log ? Math.log1p(n) / Math.log1p(most) : n / most);
  const [median, low, high] = [of.median, of.low, of.high].map((value) => withUnit(decimal(value, of.digits), of.unit));
  const title = document.createElement("figcaption");
  title.textContent = of.title;
  const said = document.createElement("p");
  said.textContent = `median ${median}, from ${low} to ${high}` + (log ? "; logarithmic counts" : "");
  const plot = document.createElement("div");
  plot.className = "plot";
  plot.setAttribute("aria-hidden", "true"); // the table says the same
  plot.append(countTicks(most, log, height), columns(of, bins, height), valueTicks(of, bins));
  figure.append(title, said, plot, numbers(bins));
  return figure;
}

/** @param {Histogram} of @param {Bin[]} bins @param {(n: number) => number} height */
function columns(of, bins, height) {
  const box = document.createElement("div");
  box.className = "columns-of-bins";
  bins.forEach((bin) => {
    const column = document.createElement("a");
    if (bin.count) column.href = bin.href;
    column.tabIndex = -1;
    column.title = `${bin.text}: ${count(bin.count)} sample${bin.count === 1 ? "" : "s"}`;
    column.setAttribute("aria-label", column.title);
    column.classList.toggle("open", !Number.isFinite(bin.low) || !Number.isFinite(bin.high));
    const bar = document.createElement("i");
    bar.style.height = `${height(bin.count)}%`;
    column.append(bar);
    box.append(column);
  });
  return box;
}

/** Whole numbers of samples. @param {number} most @param {boolean} log @param {(n: number) => number} height */
function countTicks(most, log, height) {
  const box = document.createElement("div");
  box.className = "count-ticks";
  const step = log ? 0 : [1, 2, 5, 10].find((size) => most / size <= 4) ?? 10;
  const ticks = [0];
  for (let n = log ? 1 : step; n <= most; n = log ? 10 * n : n + step) ticks.push(n);
  for (const n of ticks) {
    const tick = document.createElement("span");
    tick.style.bottom = `${height(n)}%`;
    tick.textContent = count(n);
    box.append(tick);
  }
  return box;
}

/** @param {Histogram} of @param {Bin[]} bins */
function valueTicks(of, bins) {
  const box = document.createElement("div");
  box.className = "value-ticks";
  const [first, last] = [of.edges[0], of.edges[of.edges.length - 1]];
  const add = (/** @type {number} */ bin, /** @type {string} */ text) => {
    const tick = document.createElement("span");
    tick.style.left = `${(100 * bin) / bins.length}%`;
    tick.textContent = text;
    box.append(tick);
  };
  const skipped = of.under ? 1 : 0;
  const said = (/** @type {number} */ value) => decimal(value) + (of.unit.length > 1 ? "" : of.unit); // "px" is in the title: no room
  if (of.under) add(0.5, `<${said(first)}`);
  if (of.over) add(bins.length - 0.5, `\u2265${said(last)}`);
  const least = Math.max((last - first) / MOST_TICKS, of.edges[1] - first); // labels have room, and are no finer than bins
  const power = 10 ** Math.floor(Math.log10(least));
  const step = power * /** @type {number} */ ([1, 2, 5, 10].find((size) => size * power >= least * (1 - 1e-9)));
  for (let k = Math.ceil(first / step - 1e-9); k * step <= last + 1e-9 * step; k++) {
    const bin = skipped + ((k * step - first) / (last - first)) * of.counts.length;
    const near = bins.length / 9; // of the label of an open bin
    if ((of.under && bin < near) || (of.over && bin > bins.length - near)) continue;
    add(bin, said(Number((k * step).toPrecision(12))));
  }
  return box;
}

/** The same as a table of links. @param {Bin[]} bins */
function numbers(bins) {
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "as numbers";
  details.append(summary);
  details.addEventListener("toggle", () => {
    if (!details.open || details.querySelector("table")) return;
    const table = document.createElement("table");
    table.className = "linked";
    table.innerHTML = '<thead><tr><th scope="col">range</th><th scope="col" class="number">samples</th></tr></thead>';
    const body = table.createTBody();
    for (const bin of bins) {
      if (!bin.count) continue;
      const row = body.insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.append(Object.assign(document.createElement("a"), { href: bin.href, textContent: bin.text }));
      const cell = Object.assign(document.createElement("td"), { className: "number", textContent: count(bin.count) });
      row.append(head, cell);
    }
    details.append(table);
  });
  return details;
}
