// The gallery's filters: what stands in the form, as a filter of columns, and as text of an address.

import { element } from "./text.js";

/** @typedef {import("./columns.js").Filter} Filter */
/** @typedef {import("./columns.js").Range} Range */

const WAIT_MS = 120; // while somebody types
const BELOW = "below"; // before an upper end that is left out
const RANGES = /** @type {[string, string, string][]} */ ([
  ["prediction", "Prediction NME %", "NME of the prediction in percent"], ["nme", "NME %", "NME in percent"], ["absyaw", "|Yaw| °", "yaw to either side, degrees"],
  ["yaw", "Yaw °", "yaw in degrees"], ["pitch", "Pitch °", "pitch in degrees"], ["roll", "Roll °", "roll in degrees"],
  ["oddity", "Oddity", "oddity"], ["face", "Face px", "longer side of the face in its image, px"],
  ["height", "Image height px", "height of the image, px"], ["magnification", "Crop px per image px", "crop px per image px"],
]); // by column, with a label and what it means
const AT_ONCE = new Set(["prediction", "nme", "absyaw", "yaw"]); // of them; the others are folded away

/** A range as an address has it: `5..`, `-10..30`, and `5..below6` without its upper end. @param {Range} range */
export function rangeText({ low, high, below }) {
  const end = Number.isFinite(high) ? `${below ? BELOW : ""}${high}` : "";
  return `${Number.isFinite(low) ? low : ""}..${end}`;
}

/** @param {string} text @returns {Range | null} */
function rangeOf(text) {
  const at = text.indexOf("..");
  if (at < 0) return null;
  const [first, rest] = [text.slice(0, at), text.slice(at + 2)];
  const last = rest.replace(BELOW, "");
  const low = first === "" ? -Infinity : Number(first);
  const high = last === "" ? Infinity : Number(last);
  return Number.isNaN(low) || Number.isNaN(high) ? null : { low, high, below: rest.startsWith(BELOW) };
}

export class Filters {
  /** @param {import("./data.js").Overview} about @param {import("./columns.js").Columns} columns
   * @param {(what: string) => void} changed told the field, once per change */
  constructor(about, columns, changed) {
    this.form = /** @type {HTMLFormElement} */ (element("filters"));
    /** @type {[HTMLSelectElement, string, number | "marked" | "pictured"][]} */
    this.choices = [];
    /** Ranges of which the upper end is left out. @type {Set<string>} */
    this.below = new Set();
    this.about = about;
    this.name = /** @type {HTMLInputElement} */ (element("f-name"));
    this.subset = /** @type {HTMLSelectElement} */ (element("f-subset"));
    this.ranges = RANGES.filter(([key]) => key in columns.measure);
    this.fillSubsets();
    this.fillRanges(columns.predicted);
    this.fillFlags(columns);
    let timer = 0;
    this.form.addEventListener("input", (event) => {
      const { id } = /** @type {HTMLElement} */ (event.target);
      if (id.endsWith("-high")) this.setBelow(id.slice(2, -5), false); // what people write is included
      clearTimeout(timer);
      timer = window.setTimeout(() => changed(id), WAIT_MS);
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", (event) => {
      event.preventDefault();
      clearTimeout(timer);
      this.clear();
      changed("clear");
    });
  }

  fillSubsets() {
    this.subset.append(new Option("all", "-1"));
    this.about.subsets.forEach((name, k) => this.subset.append(new Option(name, String(k))));
  }

  /** @param {boolean} predicted whether labels and predictions have an NME */
  fillRanges(predicted) {
    this.ranges.forEach(([key, short, long]) => {
      const [label, text] = predicted && key === "nme" ? [`Label ${short}`, "NME of the label in percent"] : [short, long];
      const group = document.createElement("span");
      group.className = "pair";
      group.setAttribute("role", "group");
      group.setAttribute("aria-label", text);
      const field = (/** @type {"low" | "high"} */ side, /** @type {string} */ word) =>
        `<input type="number" id="f-${key}-${side}" aria-label="${text}, ${word}" placeholder="${word}" step="any">`;
      group.innerHTML = `${label} ${field("low", "from")} <span id="f-${key}-word">to</span> ${field("high", "to")}`;
      element(AT_ONCE.has(key) ? "f-ranges" : "f-more-ranges").append(group);
    });
  }

  /** A choice for each flag that some samples have and others do not. @param {import("./columns.js").Columns} columns */
  fillFlags(columns) {
    const counts = this.about.flags.map((_, bit) => columns.flags.reduce((n, flags) => n + ((flags >> bit) & 1), 0));
    this.about.flags.forEach(([key, text], bit) => {
      if (counts[bit]) this.addChoice(key, text, 1 << bit);
    });
    if (columns.picture.some((number) => number < 0)) this.addChoice("pictures", "pictures are in this report", "pictured");
    this.addChoice("marked", "marked as bad", "marked");
  }

  /** @param {string} key @param {string} text @param {number | "marked" | "pictured"} what */
  addChoice(key, text, what) {
    const label = document.createElement("label");
    label.title = text;
    const select = document.createElement("select");
    select.id = `f-${key}`;
    select.append(new Option("any", ""), new Option("yes", "1"), new Option("no", "0"));
    label.append(`${key} `, select);
    element("f-flags").append(label);
    this.choices.push([select, key, what]);
  }

  /** @param {string} key @param {boolean} below whether its upper end is left out */
  setBelow(key, below) {
    if (below) this.below.add(key);
    else this.below.delete(key);
    const word = document.getElementById(`f-${key}-word`);
    if (word) word.textContent = below ? "to below" : "to";
  }

  /** @param {string} key @param {"low" | "high"} side */
  field(key, side) {
    return /** @type {HTMLInputElement} */ (element(`f-${key}-${side}`));
  }

  /** Nothing is left out. */
  clear() {
    this.write(new URLSearchParams(this.about.listed ? "pictures=any" : ""));
  }

  /** @returns {Filter} */
  read() {
    /** @type {Filter} */
    const filter = {
      name: this.name.value, subset: Number(this.subset.value), ranges: new Map(), flags: new Map(), marked: null, pictured: null,
    };
    for (const [key] of this.ranges) {
      const range = this.range(key);
      if (range) filter.ranges.set(key, range);
    }
    for (const [select, , what] of this.choices) {
      if (!select.value) continue;
      const wanted = select.value === "1";
      if (typeof what === "number") filter.flags.set(what, wanted);
      else filter[what] = wanted;
    }
    return filter;
  }

  /** @param {string} key @returns {Range | null} */
  range(key) {
    const [low, high] = [this.field(key, "low").valueAsNumber, this.field(key, "high").valueAsNumber];
    if (Number.isNaN(low) && Number.isNaN(high)) return null;
    return { low: Number.isNaN(low) ? -Infinity : low, high: Number.isNaN(high) ? Infinity : high, below: this.below.has(key) };
  }

  /** What is filtered by, in an address. @param {URLSearchParams} to */
  save(to) {
    if (this.name.value) to.set("name", this.name.value);
    if (this.subset.value !== "-1") to.set("subset", this.about.subsets[Number(this.subset.value)]);
    for (const [key] of this.ranges) {
      const range = this.range(key);
      if (range) to.set(key, rangeText(range));
    }
    for (const [select, key] of this.choices) {
      if (select.value !== this.usual(key)) to.set(key, ["no", "yes"][Number(select.value || "2")] ?? "any");
    }
  }

  /** A report of listed samples begins with those alone. @param {string} key */
  usual(key) {
    return key === "pictures" && this.about.listed ? "1" : "";
  }

  /** Fill the form from an address; what that does not know is as usual. @param {URLSearchParams} from */
  write(from) {
    this.name.value = from.get("name") ?? "";
    this.subset.value = String(this.about.subsets.indexOf(from.get("subset") ?? ""));
    for (const [key] of this.ranges) {
      const range = rangeOf(from.get(key) ?? "");
      this.field(key, "low").value = range && Number.isFinite(range.low) ? String(range.low) : "";
      this.field(key, "high").value = range && Number.isFinite(range.high) ? String(range.high) : "";
      this.setBelow(key, range?.below ?? false);
    }
    for (const [select, key] of this.choices) {
      const text = from.get(key);
      select.value = text === "yes" ? "1" : text === "no" ? "0" : text === "any" ? "" : this.usual(key);
    }
    const more = /** @type {HTMLDetailsElement} */ (element("f-more"));
    if (this.ranges.some(([key]) => !AT_ONCE.has(key) && this.range(key))) more.open = true;
  }
}
