// Landmarks as SVG paths: the colors of `uvgen preview`, each side of the person in its own.

import { bytes } from "./data.js";

/** @typedef {{lines: [number[], boolean][], sides: number[]}} Drawing */

const SIDES = ["right", "middle", "left"];

/** @param {number} value */
const short = (value) => String(Math.round(value * 1000) / 1000);

/** Path data of the iBUG lines of one side; a segment that begins on the midline belongs to where it leads.
 * @param {(number|null)[][]} points @param {Drawing} drawing @param {number} side */
function sidePath(points, drawing, side) {
  let path = "";
  for (const [indices, closed] of drawing.lines) {
    const ring = closed ? [...indices, indices[0]] : indices;
    for (let k = 1; k < ring.length; k++) {
      const [a, b] = [ring[k - 1], ring[k]];
      const of = drawing.sides[a] === 1 ? drawing.sides[b] : drawing.sides[a];
      const [p, q] = [points[a], points[b]];
      if (of !== side || p[0] === null || q[0] === null) continue;
      path += `M${short(/** @type {number} */ (p[0]))} ${short(/** @type {number} */ (p[1]))}`;
      path += `L${short(/** @type {number} */ (q[0]))} ${short(/** @type {number} */ (q[1]))}`;
    }
  }
  return path;
}

/** SVG of the lines. @param {(number|null)[][]} points @param {Drawing} drawing */
export function lines(points, drawing) {
  const paths = SIDES.map((name, side) => [name, sidePath(points, drawing, side)]);
  const all = paths.map(([, path]) => path).join("");
  return `<path class="seam" d="${all}"/>` + paths.map(([name, path]) => `<path class="${name}" d="${path}"/>`).join("");
}

/** SVG of a dot at each point. @param {(number|null)[][]} points @param {Drawing} drawing @param {number} radius
 * @param {number[] | null} visible */
export function dots(points, drawing, radius, visible) {
  return points
    .map(([x, y], k) => {
      if (x === null || y === null) return "";
      const hidden = visible && !visible[k] ? " hidden-point" : "";
      const title = `<title>${k + 1}${hidden ? ", hidden" : ""}</title>`;
      return `<circle class="${SIDES[drawing.sides[k]]}${hidden}" cx="${short(x)}" cy="${short(y)}" r="${radius}">${title}</circle>`;
    })
    .join("");
}

/** SVG of a cross at each annotated point. @param {(number|null)[][]} points @param {number} arm */
export function crosses(points, arm) {
  let path = "";
  for (const [x, y] of points) {
    if (x === null || y === null) continue;
    path += `M${short(x - arm)} ${short(y)}h${short(2 * arm)}M${short(x)} ${short(y - arm)}v${short(2 * arm)}`;
  }
  return `<path class="cross-seam" d="${path}"/><path class="cross" d="${path}"/>`;
}

/** SVG of a dot at each predicted point. @param {(number|null)[][]} points @param {number} radius */
export function predictedDots(points, radius) {
  return points
    .map(([x, y]) => (x === null || y === null ? "" : `<circle class="predicted-point" cx="${short(x)}" cy="${short(y)}" r="${radius}"/>`))
    .join("");
}

/** SVG of lines from annotated points to the labels' own. @param {number[][]} points @param {(number|null)[][]} annotated */
export function differences(points, annotated) {
  let path = "";
  annotated.forEach(([x, y], k) => {
    if (x !== null && y !== null) path += `M${short(x)} ${short(y)}L${short(points[k][0])} ${short(points[k][1])}`;
  });
  return `<path class="difference" d="${path}"/>`;
}

/** Points of a thumbnail in shares of its width, from 16-bit codes. @param {string} text @returns {(number|null)[][]} */
function shares(text) {
  const codes = new Uint16Array(bytes(text).buffer);
  /** @type {(number|null)[][]} */
  const points = [];
  for (let k = 0; k < codes.length; k += 2) {
    points.push([codes[k], codes[k + 1]].map((code) => (code === 65535 ? null : (code / 65534) * 3 - 1)));
  }
  return points;
}

/** SVG over a thumbnail. @param {import("./data.js").Thumb} thumb @param {Drawing} drawing @param {number} arm of a cross */
export function overlay(thumb, drawing, arm) {
  const annotated = thumb.a ? crosses(shares(thumb.a), arm) : "";
  return `<g class="annotated">${annotated}</g><g class="labels">${lines(shares(thumb.l), drawing)}</g>`;
}

const KEYS = /** @type {Record<string, [string, string]>} */ ({
  right: ["person's right", '<path class="seam" d="M1 8H15"/><path class="right" d="M1 8H15"/>'],
  left: ["left", '<path class="seam" d="M1 8H15"/><path class="left" d="M1 8H15"/>'],
  middle: ["middle", '<path class="seam" d="M1 8H15"/><path class="middle" d="M1 8H15"/>'],
  hidden: ["hidden", '<circle class="hidden-point" cx="8" cy="8" r="3.5"/>'],
  annotated: ["annotated", crosses([[8, 8]], 5)],
  predicted: ["predicted", '<circle class="predicted-point" cx="8" cy="8" r="3.5"/>'],
  difference: ["difference", '<path class="difference" d="M2 13L14 3"/>'],
});

/** HTML of a legend, drawn as the pictures are. @param {string[]} keys */
export function legend(keys) {
  return keys
    .map((key) => `<span class="key"><svg viewBox="0 0 16 16" aria-hidden="true">${KEYS[key][1]}</svg>${KEYS[key][0]}</span>`)
    .join("");
}
