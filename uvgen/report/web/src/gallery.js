// The gallery: a grid of which only the rows in sight exist, so that 122,450 samples scroll like a hundred.

import { jpeg, thumbs } from "./data.js";
import { Heads } from "./heads.js";
import { overlay } from "./landmarks.js";
import { addressOf, count, element, percent } from "./text.js";

/** @typedef {import("./columns.js").Columns} Columns */

const OVERSCAN = 1; // lines above and below what is in sight
const SETTLE_MS = 50; // a line that scrolls past faster loads no thumbnails
const MARGIN = 3; // px around a focused tile
const WRONG = new Set(["far", "implausible", "problem"]); // flags that call for a look

export class Gallery {
  /** @param {Columns} columns @param {import("./data.js").Overview} about @param {import("./marks.js").Marks} marks
   * @param {(row: number) => void} open @param {() => void} sorted */
  constructor(columns, about, marks, open, sorted) {
    this.columns = columns;
    this.about = about;
    this.marks = marks;
    this.open = open;
    /** @type {Uint32Array} */
    this.rows = new Uint32Array(0);
    this.active = 0;
    /** @type {Map<number, HTMLElement>} */
    this.tiles = new Map();
    /** @type {HTMLElement[]} */
    this.spare = [];
    this.scroller = element("scroller");
    this.sheet = element("sheet");
    this.grid = element("grid");
    this.layout = "tiles";
    this.across = 1;
    this.lineHeight = 1;
    this.timer = 0;
    this.heads = new Heads(columns.predicted, sorted);
    this.grid.classList.toggle("predicted", columns.predicted);
    this.grid.classList.toggle("flagless", columns.flags.every((flag) => !flag)); // which need no line for them
    this.scroller.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.measure()).observe(this.scroller);
    this.sheet.addEventListener("click", (event) => this.clicked(event));
    this.sheet.addEventListener("dblclick", (event) => this.doubleClicked(event));
    this.sheet.addEventListener("keydown", (event) => this.pressed(event));
    this.sheet.addEventListener("focusin", (event) => this.focused(event));
    marks.listeners.push(() => this.tiles.forEach((tile, place) => this.showMark(tile, place)));
  }

  /** Show these rows, from the top. @param {Uint32Array} rows */
  show(rows) {
    this.rows = rows;
    this.active = 0;
    for (const place of [...this.tiles.keys()]) this.drop(place);
    this.grid.setAttribute("aria-rowcount", String(rows.length + 1));
    this.grid.hidden = !rows.length;
    element("none-match").hidden = rows.length > 0;
    this.showPictured();
    this.scroller.scrollTop = 0;
    this.measure();
  }

  /** Say once, and not on each tile, that not all have pictures. */
  showPictured() {
    const { columns, about } = this;
    const pictured = columns.picture.reduce((n, number) => n + Number(number >= 0), 0);
    const which = about.listed ? "the listed" : "the worst";
    element("pictured").hidden = this.rows.every((row) => columns.picture[row] >= 0);
    element("pictured").textContent = pictured
      ? `Only ${which} ${count(pictured)} of ${count(columns.n)} samples have pictures in this report; --thumbnails or --all makes the others'.`
      : "This report has no pictures; --thumbnails or --all makes them.";
  }

  /** @param {string} layout */
  setLayout(layout) {
    this.layout = layout;
    this.grid.dataset.layout = layout;
    this.measure();
    this.reveal(this.active);
  }

  measure() {
    const width = this.scroller.clientWidth;
    if (!width) return; // hidden
    this.heads.fit(this.scroller.offsetWidth - width);
    const style = getComputedStyle(this.grid);
    const tile = parseFloat(style.getPropertyValue("--tile-width"));
    this.lineHeight = parseFloat(style.getPropertyValue("--line-height"));
    this.across = this.layout === "table" ? 1 : Math.max(1, Math.floor(width / tile));
    this.tileWidth = width / this.across;
    this.sheet.style.height = `${Math.ceil(this.rows.length / this.across) * this.lineHeight}px`;
    this.tiles.forEach((tileElement, place) => this.put(tileElement, place));
    this.draw();
  }

  /** Make the tiles that are in sight, and give back those that are not. */
  draw() {
    const height = this.scroller.clientHeight;
    if (!height) return;
    const top = Math.floor(this.scroller.scrollTop / this.lineHeight) - OVERSCAN;
    const bottom = Math.ceil((this.scroller.scrollTop + height) / this.lineHeight) + OVERSCAN;
    const first = Math.max(0, top * this.across);
    const last = Math.min(this.rows.length, bottom * this.across);
    for (const place of [...this.tiles.keys()]) {
      if ((place < first || place >= last) && place !== this.active) this.drop(place);
    }
    for (let place = first; place < last; place++) this.tile(place);
    if (this.active < this.rows.length) this.tile(this.active); // where the focus is
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.loadPictures(), SETTLE_MS);
  }

  /** @param {number} place */
  drop(place) {
    const tile = this.tiles.get(place);
    if (!tile) return;
    this.tiles.delete(place);
    if (tile.contains(document.activeElement)) this.scroller.focus({ preventScroll: true });
    tile.remove();
    this.spare.push(tile);
  }

  /** @param {number} place */
  tile(place) {
    let tile = this.tiles.get(place);
    if (tile) return tile;
    tile = this.spare.pop() ?? this.newTile();
    this.tiles.set(place, tile);
    this.fill(tile, place);
    this.put(tile, place);
    this.sheet.append(tile);
    return tile;
  }

  newTile() {
    const tile = document.createElement("div");
    tile.setAttribute("role", "row");
    tile.className = "tile";
    tile.innerHTML =
      '<div role="gridcell" class="picture"><img alt="" decoding="async"><svg viewBox="0 0 1 1" aria-hidden="true"></svg></div>' +
      '<div role="gridcell" class="name"><a></a></div><div role="gridcell" class="subset"></div>' +
      '<div role="gridcell" class="prediction"></div><div role="gridcell" class="nme"></div><div role="gridcell" class="yaw"></div>' +
      '<div role="gridcell" class="absyaw"></div><div role="gridcell" class="rank"></div>' +
      '<div role="gridcell" class="pitch"></div><div role="gridcell" class="roll"></div>' +
      '<div role="gridcell" class="oddity"></div><div role="gridcell" class="flag-list"></div>' +
      '<div role="gridcell" class="mark"><button type="button" tabindex="-1">mark</button></div>';
    return tile;
  }

  /** @param {HTMLElement} tile @param {number} place */
  fill(tile, place) {
    const row = this.rows[place];
    const { columns } = this;
    const number = columns.number;
    const name = columns.names[row];
    tile.dataset.place = String(place);
    tile.setAttribute("aria-rowindex", String(place + 2));
    this.showActive(tile, place === this.active);
    const link = /** @type {HTMLAnchorElement} */ (part(tile, "name").firstChild);
    const stem = name.lastIndexOf("/") + 1;
    const folder = Object.assign(document.createElement("span"), { textContent: name.slice(0, stem) }); // of tables alone
    link.replaceChildren(folder, document.createElement("wbr"), name.slice(stem)); // a long one breaks after its folder
    link.title = name;
    link.href = addressOf(name);
    link.tabIndex = -1;
    /** @param {string} kind @param {string} text */
    const cell = (kind, text) => {
      part(tile, kind).textContent = text;
    };
    const known = (/** @type {number} */ nme) => (nme === nme ? percent(nme) : "none");
    cell("subset", this.about.subsets[columns.subset[row]]);
    if (columns.predicted) cell("prediction", known(number.prediction[row]));
    cell("nme", known(number.nme[row]));
    for (const angle of ["yaw", "pitch", "roll"]) cell(angle, `${Math.round(number[angle][row])}°`);
    cell("absyaw", `${Math.round(Math.abs(number.yaw[row]))}°`);
    cell("rank", count(row + 1));
    cell("oddity", number.oddity[row].toFixed(1));
    const flags = this.about.flags.filter((_, bit) => columns.flags[row] & (1 << bit));
    cell("flag-list", flags.map(([key]) => key).join(", "));
    part(tile, "flag-list").classList.toggle("bad", flags.some(([key]) => WRONG.has(key)));
    part(tile, "flag-list").title = flags.map(([, text]) => text).join("; ");
    const picture = part(tile, "picture");
    picture.dataset.state = columns.picture[row] < 0 ? "none" : "waiting";
    /** @type {HTMLImageElement} */ (picture.firstChild).removeAttribute("src");
    /** @type {Element} */ (picture.lastChild).innerHTML = "";
    this.showMark(tile, place);
    if (columns.picture[row] >= 0 && thumbs.now(Math.floor(columns.picture[row] / this.about.perFile))) {
      void this.loadPicture(tile, place);
    }
  }

  /** Whether keys go to it. @param {HTMLElement | undefined} tile @param {boolean} active */
  showActive(tile, active) {
    if (!tile) return;
    tile.tabIndex = active ? 0 : -1;
    tile.classList.toggle("active", active);
    tile.setAttribute("aria-selected", String(active));
  }

  /** @param {HTMLElement} tile @param {number} place */
  showMark(tile, place) {
    const marked = this.marks.has(this.columns.names[this.rows[place]]);
    tile.classList.toggle("marked", marked);
    const button = /** @type {HTMLElement} */ (part(tile, "mark").firstChild);
    button.setAttribute("aria-pressed", String(marked));
    button.textContent = marked ? "marked" : "mark";
  }

  /** @param {HTMLElement} tile @param {number} place */
  put(tile, place) {
    const line = Math.floor(place / this.across);
    const left = (place - line * this.across) * (this.tileWidth ?? 0);
    tile.style.transform = `translate(${left}px, ${line * this.lineHeight}px)`;
    tile.style.width = `${(this.tileWidth ?? 0) - 2 * MARGIN}px`;
  }

  loadPictures() {
    this.tiles.forEach((tile, place) => {
      const picture = part(tile, "picture");
      if (picture.dataset.state === "waiting") void this.loadPicture(tile, place);
    });
  }

  /** @param {HTMLElement} tile @param {number} place */
  async loadPicture(tile, place) {
    const number = this.columns.picture[this.rows[place]];
    const file = Math.floor(number / this.about.perFile);
    const picture = part(tile, "picture");
    try {
      const thumb = (thumbs.now(file) ?? (await thumbs.get(file)))[number % this.about.perFile];
      if (this.tiles.get(place) !== tile || this.columns.picture[this.rows[place]] !== number) return; // used otherwise
      /** @type {HTMLImageElement} */ (picture.firstChild).src = jpeg(thumb.i);
      /** @type {Element} */ (picture.lastChild).innerHTML = overlay(thumb, this.about, 0.012);
      picture.dataset.state = "there";
    } catch {
      picture.dataset.state = "missing";
    }
  }

  /** @param {number} place */
  reveal(place) {
    const top = Math.floor(place / this.across) * this.lineHeight;
    const { scrollTop, clientHeight } = this.scroller;
    if (top < scrollTop) this.scroller.scrollTop = top;
    else if (top + this.lineHeight > scrollTop + clientHeight) this.scroller.scrollTop = top + this.lineHeight - clientHeight;
  }

  /** Make a tile the active one, and give it the focus. @param {number} place */
  go(place) {
    if (!this.rows.length) return;
    this.showActive(this.tiles.get(this.active), false);
    this.active = Math.min(this.rows.length - 1, Math.max(0, place));
    this.reveal(this.active);
    const tile = this.tile(this.active);
    this.showActive(tile, true);
    tile.focus({ preventScroll: true });
    this.draw();
  }

  /** @param {Event} event */
  placeOf(event) {
    const tile = /** @type {HTMLElement} */ (event.target).closest(".tile");
    return tile ? Number(/** @type {HTMLElement} */ (tile).dataset.place) : -1;
  }

  /** @param {Event} event */
  focused(event) {
    const place = this.placeOf(event);
    if (place < 0 || place === this.active) return;
    this.showActive(this.tiles.get(this.active), false);
    this.active = place;
    this.showActive(this.tile(place), true);
  }

  /** @param {MouseEvent} event */
  clicked(event) {
    const place = this.placeOf(event);
    if (place < 0) return;
    const target = /** @type {HTMLElement} */ (event.target);
    if (target.closest("a")) return; // the link leads there
    this.go(place);
    if (target.closest("button")) this.marks.toggle(this.columns.names[this.rows[place]]);
    else if (target.closest(".picture")) this.open(this.rows[place]);
  }

  /** @param {MouseEvent} event */
  doubleClicked(event) {
    const place = this.placeOf(event);
    if (place >= 0 && !(/** @type {HTMLElement} */ (event.target)).closest("button")) this.open(this.rows[place]);
  }

  /** @param {KeyboardEvent} event */
  pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.rows.length) return;
    const page = this.across * Math.max(1, Math.floor(this.scroller.clientHeight / this.lineHeight));
    /** @type {Record<string, number>} */
    const steps = {
      ArrowRight: 1, ArrowLeft: -1, j: 1, k: -1, ArrowDown: this.across, ArrowUp: -this.across, PageDown: page,
      PageUp: -page, Home: -Infinity, End: Infinity,
    };
    if (event.key in steps) this.go(this.active + steps[event.key]);
    else if (event.key === "Enter") this.open(this.rows[this.active]);
    else if (event.key === "m") {
      this.go(this.active);
      this.marks.toggle(this.columns.names[this.rows[this.active]]);
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

const PARTS = [
  "picture", "name", "subset", "prediction", "nme", "yaw", "absyaw", "rank", "pitch", "roll", "oddity", "flag-list", "mark",
];

/** A tile's cell, as `newTile` has them in order: queries would take most of the time of a scroll.
 * @param {HTMLElement} tile @param {string} kind @returns {HTMLElement} */
const part = (tile, kind) => /** @type {HTMLElement} */ (tile.children[PARTS.indexOf(kind)]);
