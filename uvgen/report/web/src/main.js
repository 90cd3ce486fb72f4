// The report's page: an overview, the gallery, one sample, and the marks, chosen by what follows # in the address.

import "uplot/dist/uPlot.min.css";
import "./report.css";
import { Columns } from "./columns.js";
import { arrived, load } from "./data.js";
import { Filters } from "./filters.js";
import { Gallery } from "./gallery.js";
import { drawHistograms } from "./histograms.js";
import { Marks } from "./marks.js";
import { showMarks } from "./marks_view.js";
import { SampleView } from "./sample.js";

/** @typedef {import("./data.js").Overview} Overview */

const VIEWS = ["overview", "gallery", "sample", "marks"];

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** All that needs the rows. @typedef {{columns: Columns, gallery: Gallery, sample: SampleView, filters: Filters}} Parts */

class Report {
  /** @param {Overview} about */
  constructor(about) {
    this.about = about;
    this.marks = new Marks(about.identity, about.copies);
    /** @type {Parts | null} */
    this.parts = null;
    this.view = "";
    element("n-marks").textContent = String(this.marks.names.size);
    drawHistograms(element("histograms"), about.histograms, (column, low, high, text) => this.choose(column, low, high, text));
    window.addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.pressed(event));
    element("help-button").addEventListener("click", () => this.help());
    this.route();
    requestAnimationFrame(() => setTimeout(() => void this.loadRows()));
  }

  async loadRows() {
    try {
      const columns = new Columns(await load("rows", "data/rows.js"));
      const gallery = new Gallery(columns, this.about, this.marks, (row) => this.open(row));
      const sample = new SampleView(element("sample"), columns, this.about, this.marks, (step) => this.step(step));
      const filters = new Filters(this.about, columns, () => this.select());
      this.parts = { columns, gallery, sample, filters };
      gallery.onsort = () => this.select();
      showMarks(this.marks, columns);
      const pictures = document.getElementById("f-pictures");
      if (this.about.listed && pictures) /** @type {HTMLSelectElement} */ (pictures).value = "1";
      this.setUpView(gallery);
      this.select();
      this.route();
      document.body.dataset.state = "ready";
    } catch (error) {
      element("count").textContent = error instanceof Error ? error.message : String(error);
      document.body.dataset.state = "failed";
    }
  }

  /** @param {Gallery} gallery */
  setUpView(gallery) {
    for (const id of ["show-labels", "show-annotated"]) {
      const box = /** @type {HTMLInputElement} */ (element(id));
      const show = () => element("grid").classList.toggle(`no-${id.slice(5)}`, !box.checked);
      box.addEventListener("change", show);
      show();
    }
    const layout = /** @type {HTMLSelectElement} */ (element("layout"));
    layout.addEventListener("change", () => gallery.setLayout(layout.value));
    gallery.setLayout(layout.value);
  }

  /** Show what filters and order leave. */
  select() {
    if (!this.parts) return;
    const { columns, gallery, filters } = this.parts;
    const rows = columns.select(filters.read(), gallery.key, gallery.down, (row) => this.marks.has(columns.names[row]));
    gallery.show(rows);
    element("count").textContent = `${rows.length.toLocaleString("en")} of ${columns.n.toLocaleString("en")} samples`;
  }

  /** The gallery of a histogram's bar. @param {string} column @param {number} low @param {number} high @param {string} text */
  choose(column, low, high, text) {
    if (!this.parts) return;
    this.parts.filters.setRange({ column, low, high, text });
    this.select();
    location.hash = "gallery";
  }

  /** @param {number} row */
  open(row) {
    if (this.parts) location.hash = `sample=${encodeURIComponent(this.parts.columns.names[row])}`;
  }

  /** To another sample of the gallery. @param {number} by */
  step(by) {
    if (!this.parts) return;
    const { gallery, sample } = this.parts;
    const place = gallery.rows.indexOf(sample.row) + by;
    if (place < 0 || place >= gallery.rows.length) return;
    gallery.active = place;
    const name = this.parts.columns.names[gallery.rows[place]];
    history.replaceState(null, "", `#sample=${encodeURIComponent(name)}`); // so that Back leads to the gallery
    this.route();
  }

  route() {
    const [view, name] = split(location.hash.slice(1));
    const shown = VIEWS.includes(view) ? view : "overview";
    const before = this.view;
    this.view = shown;
    for (const other of VIEWS) element(other).hidden = other !== shown;
    for (const link of document.querySelectorAll("nav a")) {
      if (/** @type {HTMLElement} */ (link).dataset.view === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${shown === "sample" ? name : shown} · ${this.about.title}`;
    document.body.dataset.view = shown;
    if (!this.parts) {
      if (shown === "gallery") element("count").textContent = "loading…";
      return;
    }
    const { gallery, sample, columns } = this.parts;
    if (shown === "gallery") {
      gallery.measure();
      if (before !== "gallery" && before) gallery.go(gallery.active);
    } else if (shown === "sample") {
      const row = columns.row(name);
      if (row < 0) {
        element("sample-title").textContent = `No sample of this name: ${name}`;
        return;
      }
      const place = gallery.rows.indexOf(row);
      if (place >= 0) gallery.active = place;
      void sample.show(row, place, gallery.rows.length);
      if (before !== "sample") element("main").focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  }

  help() {
    /** @type {HTMLDialogElement} */ (element("help")).showModal();
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (/** @type {HTMLDialogElement} */ (element("help")).open) return;
    if (target.matches("input:not([type=checkbox]), select, textarea")) {
      if (event.key === "Escape") target.blur();
      return;
    }
    const sample = this.view === "sample" ? this.parts?.sample : undefined;
    const gallery = this.view === "gallery" ? this.parts?.gallery : undefined;
    /** @type {Record<string, () => void>} */
    const keys = { "?": () => this.help(), g: () => go("gallery"), o: () => go("overview"), "/": () => this.search() };
    if (sample) {
      Object.assign(keys, {
        j: () => this.step(1), k: () => this.step(-1), ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
        m: () => sample.toggleMark(), Escape: () => go("gallery"), l: () => sample.flip("s-labels"),
        a: () => sample.flip("s-annotated"), d: () => sample.flip("s-differences"),
      });
    } else if (gallery) {
      Object.assign(keys, {
        j: () => gallery.go(gallery.active), k: () => gallery.go(gallery.active),
        ArrowDown: () => gallery.go(gallery.active), l: () => element("show-labels").click(),
        a: () => element("show-annotated").click(),
      });
    }
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  search() {
    go("gallery");
    setTimeout(() => element("f-name").focus());
  }
}

/** @param {string} view */
const go = (view) => (location.hash = view);

/** View and name of a hash. @param {string} hash @returns {[string, string]} */
function split(hash) {
  const [view, ...rest] = hash.split("=");
  try {
    return [view, decodeURIComponent(rest.join("="))];
  } catch {
    return [view, rest.join("=")];
  }
}

Object.assign(window, {
  uvgenReport: {
    overview: (/** @type {Overview} */ about) => new Report(about),
    rows: (/** @type {unknown} */ rows) => arrived("rows", rows),
    thumbs: (/** @type {number} */ number, /** @type {unknown} */ thumbs) => arrived(`thumbs${number}`, thumbs),
    sample: (/** @type {number} */ number, /** @type {unknown} */ sample) => arrived(`sample${number}`, sample),
  },
});
