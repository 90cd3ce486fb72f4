// The report's page: an overview, the gallery, one sample, and the marks, chosen by what follows # in the address.

import "./report.css";
import { Columns } from "./columns.js";
import { arrived, load } from "./data.js";
import { Filters } from "./filters.js";
import { Gallery } from "./gallery.js";
import { drawHistograms } from "./histograms.js";
import { Marks } from "./marks.js";
import { showMarks } from "./marks_view.js";
import { SampleView } from "./sample.js";
import { legend } from "./landmarks.js";
import { addressOf, copied, count, element } from "./text.js";

/** @typedef {import("./data.js").Overview} Overview */

const SAID_MS = 4000;
const VIEWS = ["overview", "gallery", "sample", "marks"];

/** All that needs the rows. @typedef {{columns: Columns, gallery: Gallery, sample: SampleView, filters: Filters}} Parts */

class Report {
  /** @param {Overview} about */
  constructor(about) {
    this.about = about;
    this.marks = new Marks(about.identity, about.copies);
    /** @type {Parts | null} */
    this.parts = null;
    this.view = "";
    this.gallery = "#gallery"; // its address, with filters and order
    this.changed = ""; // the field that was changed last
    element("n-marks").textContent = count(this.marks.names.size);
    element("gallery-legend").innerHTML = legend(["right", "middle", "left", "annotated"]);
    drawHistograms(element("histograms"), about.histograms);
    window.addEventListener("hashchange", () => this.route());
    document.addEventListener("keydown", (event) => this.pressed(event));
    element("help-button").addEventListener("click", () => this.help());
    element("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address says what is shown
      element("main").focus();
    });
    this.route();
    requestAnimationFrame(() => setTimeout(() => void this.loadRows()));
  }

  async loadRows() {
    try {
      const columns = new Columns(await load("rows", "data/rows.js"));
      const gallery = new Gallery(columns, this.about, this.marks, (row) => this.open(row), () => this.filtered("sort"));
      const sample = new SampleView(element("sample"), columns, this.about, this.marks, (step) => this.step(step));
      const filters = new Filters(this.about, columns, (what) => this.filtered(what));
      this.parts = { columns, gallery, sample, filters };
      if (columns.predicted) element("gallery-legend").innerHTML += legend(["predicted"]);
      showMarks(this.marks, columns);
      this.setUpView(gallery);
      this.takeAddress(this.view === "gallery" ? location.hash : this.gallery);
      this.route();
      document.body.dataset.state = "ready";
    } catch (error) {
      for (const id of ["count", "sample"]) element(id).textContent = error instanceof Error ? error.message : String(error);
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
    layout.addEventListener("change", () => {
      gallery.setLayout(layout.value);
      this.filtered("view");
    });
    element("show-all").addEventListener("click", () => this.parts?.filters.form.reset());
  }

  /** Show what filters and order leave. */
  select() {
    if (!this.parts) return;
    const { columns, gallery, filters } = this.parts;
    const { key, down } = gallery.heads;
    gallery.show(columns.select(filters.read(), key, down, (row) => this.marks.has(columns.names[row])));
    element("count").textContent = `${count(gallery.rows.length)} of ${count(columns.n)} samples`;
  }

  /** Filters, order or view were changed: changes of one field after another are one step back. @param {string} what */
  filtered(what) {
    if (!this.parts) return;
    if (what !== "view") this.select();
    const parameters = new URLSearchParams();
    this.parts.filters.save(parameters);
    this.parts.gallery.heads.save(parameters);
    const layout = /** @type {HTMLSelectElement} */ (element("layout")).value;
    if (layout !== "tiles") parameters.set("view", layout);
    const address = galleryAddress(parameters);
    if (address !== this.gallery && this.view === "gallery") {
      if (what === this.changed) history.replaceState(null, "", address);
      else history.pushState(null, "", address);
    }
    this.changed = what;
    this.showAddress(address);
  }

  /** Filter and sort as an address of the gallery says. @param {string} address */
  takeAddress(address) {
    if (!this.parts) return;
    const parameters = new URLSearchParams(address.replace(/^#gallery\??/, ""));
    const { gallery, filters } = this.parts;
    filters.write(parameters);
    gallery.heads.write(parameters);
    const layout = /** @type {HTMLSelectElement} */ (element("layout"));
    layout.value = parameters.get("view") === "table" ? "table" : "tiles";
    gallery.setLayout(layout.value);
    this.changed = "";
    this.showAddress(address);
    this.select();
  }

  /** Links to the gallery lead to it as it was. @param {string} address */
  showAddress(address) {
    this.gallery = address;
    for (const link of document.querySelectorAll(".to-gallery")) link.setAttribute("href", address);
  }

  /** @param {number} row */
  open(row) {
    if (this.parts) location.hash = addressOf(this.parts.columns.names[row]);
  }

  /** To another sample of the gallery. @param {number} by */
  step(by) {
    if (!this.parts) return;
    const { gallery, sample } = this.parts;
    const before = gallery.rows.indexOf(sample.row);
    const place = before + by;
    if (before < 0 || place < 0 || place >= gallery.rows.length) return;
    gallery.active = place;
    const name = this.parts.columns.names[gallery.rows[place]];
    history.replaceState(null, "", addressOf(name)); // so that Back leads to the gallery
    this.route();
  }

  route() {
    const [shown, name] = split(location.hash.slice(1));
    const before = this.view;
    this.view = shown;
    for (const other of VIEWS) element(other).hidden = other !== shown;
    for (const link of document.querySelectorAll("nav a")) {
      if (/** @type {HTMLElement} */ (link).dataset.view === shown) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${(shown === "sample" && name) || shown} · ${this.about.title}`;
    document.body.dataset.view = shown;
    if (!this.parts) {
      if (shown === "gallery") element("count").textContent = "loading…";
      return;
    }
    const { gallery, sample, columns } = this.parts;
    if (shown === "gallery") {
      if (location.hash !== this.gallery) this.takeAddress(location.hash);
      gallery.measure();
      if (before !== "gallery" && before) gallery.go(gallery.active);
    } else if (shown === "sample") {
      const row = columns.row(name);
      if (row < 0) {
        document.title = `No such sample · ${this.about.title}`;
        sample.showMissing(name);
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
    const onControl = event.key === "Enter" && target.matches("a, button, summary, input");
    const sample = this.view === "sample" ? this.parts?.sample : undefined;
    const gallery = this.view === "gallery" && !onControl ? this.parts?.gallery : undefined;
    /** @type {Record<string, () => void>} */
    const keys = { "?": () => this.help(), g: () => go(this.gallery), o: () => go("#overview"), "/": () => this.search() };
    if (sample) keys.Escape = () => go(this.gallery);
    if (sample && sample.row >= 0) {
      Object.assign(keys, {
        j: () => this.step(1), k: () => this.step(-1), ArrowRight: () => this.step(1), ArrowLeft: () => this.step(-1),
        m: () => sample.toggleMark(), c: () => void sample.copyName(), l: () => sample.flip("s-labels"),
        a: () => sample.flip("s-annotated"), d: () => sample.flip("s-differences"), p: () => sample.flip("s-predicted"),
      });
    } else if (gallery) {
      Object.assign(keys, {
        l: () => element("show-labels").click(), a: () => element("show-annotated").click(),
        c: () => void this.copyName(gallery),
      });
      if (!(event.key in keys)) gallery.pressed(event); // nothing has the focus: keys go to the selected tile
    }
    if (event.defaultPrevented) return;
    if (!(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }

  /** @param {Gallery} gallery */
  async copyName(gallery) {
    const name = this.parts?.columns.names[gallery.rows[gallery.active]];
    if (name === undefined) return;
    element("said").textContent = (await copied(name)) ? `Copied ${name}` : "Copying is blocked here.";
    setTimeout(() => (element("said").textContent = ""), SAID_MS);
  }

  search() {
    go(this.gallery);
    setTimeout(() => element("f-name").focus());
  }
}

/** @param {string} address */
const go = (address) => (location.hash = address);

/** @param {URLSearchParams} parameters with what people may read left readable */
function galleryAddress(parameters) {
  const text = parameters.toString().replaceAll("%2F", "/");
  return `#gallery${text && "?"}${text}`;
}

/** View and name of a hash: one that names no view is taken for a sample's name. @param {string} hash @returns {[string, string]} */
function split(hash) {
  if (hash === "gallery" || hash.startsWith("gallery?")) return ["gallery", ""];
  const [first, ...rest] = hash.split("=");
  const view = VIEWS.includes(first) ? first : hash ? "sample" : "overview";
  const name = view === first ? rest.join("=") : hash;
  try {
    return [view, decodeURIComponent(name)];
  } catch {
    return [view, name];
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
