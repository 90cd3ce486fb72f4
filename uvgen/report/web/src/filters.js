// The gallery's filters: what stands in the form, as a filter of columns.

/** @typedef {import("./columns.js").Filter} Filter */

const WAIT_MS = 120; // while somebody types

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

export class Filters {
  /** @param {import("./data.js").Overview} about @param {import("./columns.js").Columns} columns
   * @param {() => void} changed */
  constructor(about, columns, changed) {
    this.form = /** @type {HTMLFormElement} */ (element("filters"));
    /** @type {{column: string, low: number, high: number, text: string} | null} */
    this.range = null; // of a bar of a histogram
    /** @type {[HTMLSelectElement, number | "marked" | "pictured"][]} */
    this.choices = [];
    this.about = about;
    this.changed = changed;
    this.fillSubsets();
    this.fillFlags(columns);
    let timer = 0;
    this.form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(changed, WAIT_MS);
    });
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("reset", () => {
      this.setRange(null);
      setTimeout(changed); // the fields are emptied after this event
    });
    element("f-range").querySelector("button")?.addEventListener("click", () => {
      this.setRange(null);
      changed();
    });
  }

  fillSubsets() {
    const select = element("f-subset");
    select.append(new Option("all", "-1"));
    this.about.subsets.forEach((name, k) => select.append(new Option(name, String(k))));
  }

  /** A choice for each flag that some samples have and others do not. @param {import("./columns.js").Columns} columns */
  fillFlags(columns) {
    const counts = this.about.flags.map((_, bit) => columns.flags.reduce((n, flags) => n + ((flags >> bit) & 1), 0));
    this.about.flags.forEach(([key, text], bit) => {
      if (counts[bit] && counts[bit] < columns.n) this.addChoice(key, text, 1 << bit);
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
    this.choices.push([select, what]);
  }

  /** Show one range of a column, as a bar of a histogram has it.
   * @param {{column: string, low: number, high: number, text: string} | null} range */
  setRange(range) {
    this.range = range;
    const chip = element("f-range");
    chip.hidden = range === null;
    /** @type {HTMLElement} */ (chip.firstElementChild).textContent = range?.text ?? "";
  }

  /** @returns {Filter} */
  read() {
    /** @type {Filter} */
    const filter = {
      name: /** @type {HTMLInputElement} */ (element("f-name")).value,
      subset: Number(/** @type {HTMLSelectElement} */ (element("f-subset")).value),
      low: {}, high: {}, range: this.range, flags: new Map(), marked: null, pictured: null,
    };
    for (const [column, scale] of /** @type {[string, number][]} */ ([["nme", 0.01], ["yaw", 1]])) {
      for (const side of /** @type {("low" | "high")[]} */ (["low", "high"])) {
        const value = /** @type {HTMLInputElement} */ (element(`f-${column}-${side}`)).valueAsNumber;
        if (Number.isFinite(value)) filter[side][column] = value * scale;
      }
    }
    for (const [select, what] of this.choices) {
      if (!select.value) continue;
      const wanted = select.value === "1";
      if (typeof what === "number") filter.flags.set(what, wanted);
      else filter[what] = wanted;
    }
    return filter;
  }
}
