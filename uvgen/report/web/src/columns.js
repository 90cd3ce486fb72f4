// All samples as columns, in the report's order (worst first), and which of them are shown in which order.

import { bytes } from "./data.js";

/** @typedef {"worst" | "name" | "subset" | "prediction" | "nme" | "absyaw" | "yaw" | "pitch" | "roll" | "oddity"} Key */
/** Ends included, except that `high` is not where the range is that of a histogram's bar.
 * @typedef {{low: number, high: number, below: boolean}} Range */
/** @typedef {{name: string, subset: number, ranges: Map<string, Range>, flags: Map<number, boolean>,
 *   marked: boolean | null, pictured: boolean | null}} Filter */

const STORED = ["nme", "oddity", "pitch", "yaw", "roll", "height", "face", "magnification"];
const OF_PREDICTIONS = "prediction"; // stored where predictions are shown
const SUFFIX = /\.(jpg|jpeg|png|bmp|webp|mat)$/i; // of a sample's files

export class Columns {
  /** @param {Record<string, any>} raw as `rows.js` brings it */
  constructor(raw) {
    /** @type {string[]} */
    this.names = raw.names;
    this.n = this.names.length;
    this.subset = new Uint16Array(bytes(raw.subset).buffer);
    this.predicted = OF_PREDICTIONS in raw;
    /** @type {Record<string, Float32Array>} */
    this.number = Object.fromEntries(
      [...STORED, ...(this.predicted ? [OF_PREDICTIONS] : [])].map((key) => [key, new Float32Array(bytes(raw[key]).buffer)]),
    );
    /** What is sorted, filtered and counted by: NME in percent, as people say it. @type {Record<string, Float32Array | Float64Array>} */
    this.measure = {
      ...this.number,
      ...inPercent(this.number, "nme"),
      ...(this.predicted ? inPercent(this.number, OF_PREDICTIONS) : {}),
      absyaw: this.number.yaw.map(Math.abs),
    };
    this.flags = new Uint16Array(bytes(raw.flags).buffer);
    this.picture = new Int32Array(bytes(raw.picture).buffer);
    /** @type {Map<string, number> | null} */
    this._rows = null;
    /** @type {Float64Array | null} */
    this._nameRank = null;
    /** @type {string[] | null} */
    this._lower = null;
  }

  /** Row of a name; -1 where there is none. @param {string} name */
  row(name) {
    this._rows ??= new Map(this.names.map((text, k) => [text.normalize("NFC"), k]));
    return this._rows.get(name.normalize("NFC")) ?? -1;
  }

  /** Row of the name that a line of a list means; -1 where there is none. @param {string} line */
  listed(line) {
    return spellings(line).map((name) => this.row(name)).find((row) => row >= 0) ?? -1;
  }

  /** Rows that a filter leaves, sorted. @param {Filter} filter @param {Key} key @param {boolean} down
   * @param {(row: number) => boolean} isMarked @returns {Uint32Array} */
  select(filter, key, down, isMarked) {
    const kept = new Uint32Array(this.n);
    let n = 0;
    const part = filter.name.trim().toLowerCase();
    if (part) this._lower ??= this.names.map((name) => name.toLowerCase());
    const ranges = [...filter.ranges].map(([key, range]) => ({ values: this.measure[key], ...range }));
    const flags = [...filter.flags];
    for (let row = 0; row < this.n; row++) {
      if (filter.subset >= 0 && this.subset[row] !== filter.subset) continue;
      if (part && !(/** @type {string[]} */ (this._lower))[row].includes(part)) continue;
      if (!ranges.every(({ values, low, high, below }) => values[row] >= low && (below ? values[row] < high : values[row] <= high))) continue;
      if (!flags.every(([bit, wanted]) => (this.flags[row] & bit) > 0 === wanted)) continue;
      if (filter.pictured !== null && this.picture[row] >= 0 !== filter.pictured) continue;
      if (filter.marked !== null && isMarked(row) !== filter.marked) continue;
      kept[n++] = row;
    }
    return this._sorted(kept.subarray(0, n), key, down);
  }

  /** @param {Uint32Array} rows @param {Key} key @param {boolean} down */
  _sorted(rows, key, down) {
    if (key === "worst") return down ? rows : rows.reverse();
    const values = key === "name" ? this._ranks() : key === "subset" ? this.subset : this.measure[key];
    const sign = down ? -1 : 1;
    return rows.sort((a, b) => {
      const x = values[a];
      const y = values[b];
      if (x === y) return a - b;
      if (x !== x || y !== y) return x === x ? -1 : y === y ? 1 : a - b; // NaN last, both ways
      return sign * (x - y);
    });
  }

  /** Place of each name in the order of names. */
  _ranks() {
    if (!this._nameRank) {
      const order = Array.from({ length: this.n }, (_, k) => k);
      const names = this.names;
      order.sort((a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : a - b));
      this._nameRank = new Float64Array(this.n);
      for (let k = 0; k < this.n; k++) this._nameRank[order[k]] = k;
    }
    return this._nameRank;
  }
}

/** @param {Record<string, Float32Array>} number @param {string} key @returns {Record<string, Float64Array>} */
const inPercent = (number, key) => ({ [key]: Float64Array.from(number[key], (share) => 100 * share) });

/** Names that a line of a list may mean, likeliest first, as `uvgen build --exclude` reads it: with or without a suffix.
 * @param {string} line */
export function spellings(line) {
  const text = line.trim();
  const path = text.replaceAll("\\", "/").replace(/^\.\//, "");
  return [line, text, path, path.replace(SUFFIX, "")].map((name) => name.normalize("NFC"));
}
