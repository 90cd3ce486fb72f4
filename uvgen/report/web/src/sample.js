// One sample: the crop with landmarks over it, what is wrong, numbers, the face as a mesh, and the preview's panels.

import { jpeg, samples, thumbs } from "./data.js";
import { crosses, differences, dots, legend, lines, overlay, predictedDots } from "./landmarks.js";
import { FaceMesh, has3d } from "./mesh.js";
import { copied, count, percent } from "./text.js";

/** @typedef {import("./data.js").SampleData} SampleData */

const PANELS = /** @type {[string, string][]} */ ([
  ["dense", "Texels of the face, by depth"],
  ["map", "Position map: x, y, z as red, green, blue"], ["texture", "Texture unwrapped by the map"],
]);

const SLOW_MS = 200; // after which nothing of the sample before is left

const MARKUP = `
<div id="s-missing" hidden>
  <h2>No such sample</h2>
  <p>This data set has no sample named <code id="s-missing-name"></code>.</p>
  <p><a class="to-gallery" href="#gallery">Search the gallery</a></p>
</div>
<div id="s-there">
<div class="sample-head">
  <h2 id="sample-title"></h2>
  <div class="row">
    <button type="button" id="s-previous" aria-keyshortcuts="k">Previous</button>
    <button type="button" id="s-next" aria-keyshortcuts="j">Next</button>
    <span id="s-place" role="status" aria-live="polite"></span>
    <button type="button" id="s-mark" aria-keyshortcuts="m">Mark as bad</button>
    <button type="button" id="s-copy" aria-keyshortcuts="c">Copy the name</button>
    <a class="to-gallery" href="#gallery">Back to the gallery</a>
  </div>
  <ul id="s-problems" class="bad" aria-label="What is wrong"></ul>
</div>
<div class="sample-body" id="s-body">
  <figure class="stage" id="s-crop-stage">
    <svg id="s-crop" role="img" aria-labelledby="s-crop-title"><title id="s-crop-title">Crop with its landmarks</title></svg>
    <figcaption>
      <label><input type="checkbox" id="s-labels" checked> stored landmarks</label>
      <label><input type="checkbox" id="s-annotated" checked> annotated</label>
      <label><input type="checkbox" id="s-differences"> differences</label>
      <label id="s-predicted-label" hidden><input type="checkbox" id="s-predicted" checked> predicted</label>
      <label>Show <select id="s-part"><option value="all">the whole crop</option><option value="eyes">eyes</option>
        <option value="mouth">mouth</option></select></label>
      <span class="legend">${legend(["right", "middle", "left", "hidden", "annotated", "difference"])}</span>
    </figcaption>
  </figure>
  <figure class="stage">
    <div id="s-mesh" class="mesh"></div>
    <figcaption>
      <span id="s-mesh-note">The labeled surface: drag it, or click it and use <kbd>←</kbd> <kbd>→</kbd> <kbd>↑</kbd> <kbd>↓</kbd>;
        <kbd>+</kbd> and <kbd>−</kbd> enlarge and reduce, <kbd>0</kbd> resets.</span>
      <label><input type="checkbox" id="s-plain"> without the picture</label>
      <button type="button" id="s-front">From the front</button>
    </figcaption>
  </figure>
  <table id="s-numbers"><caption>Numbers</caption><tbody></tbody></table>
</div>
<div id="s-panels" class="panels"></div>
</div>`;

export class SampleView {
  /** @param {HTMLElement} place @param {import("./columns.js").Columns} columns @param {import("./data.js").Overview} about
   * @param {import("./marks.js").Marks} marks @param {(step: number) => void} step to the next one of the gallery */
  constructor(place, columns, about, marks, step) {
    this.columns = columns;
    this.about = about;
    this.marks = marks;
    this.row = -1;
    /** @type {SampleData | null} */
    this.data = null;
    /** @type {FaceMesh | null} */
    this.mesh = null;
    place.innerHTML = MARKUP;
    /** @param {string} id */
    this.at = (id) => /** @type {HTMLElement} */ (place.querySelector(`#${id}`));
    if (columns.predicted) place.querySelector(".legend")?.insertAdjacentHTML("beforeend", legend(["predicted"]));
    this.at("s-predicted-label").hidden = !columns.predicted;
    this.crop = /** @type {Element} */ (place.querySelector("#s-crop"));
    this.at("s-previous").addEventListener("click", () => step(-1));
    this.at("s-next").addEventListener("click", () => step(1));
    this.at("s-mark").addEventListener("click", () => this.toggleMark());
    this.at("s-copy").addEventListener("click", () => void this.copyName());
    this.at("s-front").addEventListener("click", () => this.mesh?.turn(0, 0, 1));
    this.at("s-plain").addEventListener("change", () => {
      if (!this.mesh) return;
      this.mesh.plain.value = this.checked("s-plain") ? 1 : 0;
      this.mesh.draw();
    });
    for (const id of ["s-labels", "s-annotated", "s-differences", "s-predicted", "s-part"]) {
      this.at(id).addEventListener("change", () => this.showOverlays());
    }
    marks.listeners.push(() => this.showMark());
  }

  /** @param {string} id */
  checked(id) {
    return /** @type {HTMLInputElement} */ (this.at(id)).checked;
  }

  /** @param {string} id */
  flip(id) {
    /** @type {HTMLInputElement} */ (this.at(id)).click();
  }

  toggleMark() {
    if (this.row >= 0) this.marks.toggle(this.columns.names[this.row]);
  }

  async copyName() {
    const done = await copied(this.columns.names[this.row]);
    this.at("s-place").textContent = done ? "Copied the name." : "Copying is blocked here: select the title.";
  }

  /** There is nothing to show, and nothing to do. @param {string} name */
  showMissing(name) {
    this.row = -1;
    this.data = null;
    this.at("s-missing").hidden = false;
    this.at("s-there").hidden = true;
    this.at("s-missing-name").textContent = name || "(none is given)";
  }

  /** @param {number} row @param {number} place in the gallery's order, -1 for none @param {number} n of that order */
  async show(row, place, n) {
    this.row = row;
    this.data = null;
    this.at("s-missing").hidden = true;
    this.at("s-there").hidden = false;
    this.at("s-crop-stage").hidden = false;
    this.at("sample-title").textContent = this.columns.names[row];
    this.at("s-place").textContent =
      place < 0 ? "not among the gallery's samples" : `${count(place + 1)} of ${count(n)} in the gallery's order`;
    /** @type {HTMLButtonElement} */ (this.at("s-previous")).disabled = place <= 0;
    /** @type {HTMLButtonElement} */ (this.at("s-next")).disabled = place < 0 || place + 1 >= n;
    this.showMark();
    this.showProblems([]);
    this.showNumbers([]);
    const number = this.columns.picture[row];
    if (number < 0 || number >= this.about.pages) {
      this.showNothing("");
      this.showCommand();
      if (number >= 0) await this.showThumb(number, row);
      return;
    }
    const slow = setTimeout(() => this.row === row && !this.data && this.showNothing("loading…"), SLOW_MS);
    try {
      const data = await samples.get(number);
      if (this.row !== row) return; // somebody went on
      await this.showData(data);
    } catch (error) {
      if (this.row === row) this.showNothing(error instanceof Error ? error.message : String(error));
    } finally {
      clearTimeout(slow);
    }
    for (const near of [number + 1, number - 1]) {
      if (near >= 0 && near < this.about.pages) samples.get(near).catch(() => {});
    }
  }

  /** @param {string} text */
  showNothing(text) {
    this.crop.innerHTML = "";
    this.at("s-body").classList.add("no-data");
    this.at("s-panels").textContent = "";
    this.hideMesh(text);
  }

  /** How to get a page of this sample. */
  showCommand() {
    const { about, columns } = this;
    this.at("s-crop-stage").hidden = true;
    const name = columns.names[this.row].replaceAll("'", "'\\''");
    const model = about.made ? " --model MODEL" : "";
    const folder = /^[\w.-]+$/.test(about.title) ? about.title : `'${about.title.replaceAll("'", "'\\''")}'`;
    const text = `printf '%s\\n' '${name}' > names.txt\nuvgen report ${folder} --list names.txt --out one_report${model}`;
    const place = this.at("s-mesh");
    const which = about.listed ? "of the listed samples" : `of the worst ${count(about.pages)} samples`;
    place.innerHTML = `<p></p><pre><code></code></pre><p><button type="button">Copy the commands</button></p>`;
    const [said, code] = /** @type {NodeListOf<HTMLElement>} */ (place.querySelectorAll("p, code"));
    said.textContent = `This report has pages ${which} alone. These commands, beside the data set, make one of this sample; --all makes all.`;
    code.textContent = text;
    const button = /** @type {HTMLElement} */ (place.querySelector("button"));
    button.addEventListener("click", async () => {
      button.textContent = (await copied(text)) ? "Copied" : "Copying is blocked here: select them";
    });
  }

  /** All that there is. @param {number} number @param {number} row */
  async showThumb(number, row) {
    const { perFile } = this.about;
    const file = await thumbs.get(Math.floor(number / perFile)).catch(() => null);
    if (this.row !== row || !file) return;
    const thumb = file[number % perFile];
    this.at("s-crop-stage").hidden = false;
    this.crop.setAttribute("viewBox", "0 0 1 1");
    this.crop.innerHTML = `<image href="${jpeg(thumb.i)}" width="1" height="1"></image>${overlay(thumb, this.about, 0.01)}`;
  }

  /** @param {SampleData} data */
  async showData(data) {
    this.data = data;
    this.showProblems(data.problems);
    this.showNumbers(data.numbers);
    const image = new Image();
    image.src = jpeg(data.crop);
    await image.decode();
    if (this.data !== data) return;
    this.at("s-body").classList.remove("no-data");
    this.showOverlays();
    const panels = this.at("s-panels");
    panels.textContent = "";
    for (const [key, text] of PANELS) {
      if (!data.panels[key]) continue;
      const figure = document.createElement("figure");
      const picture = document.createElement("img");
      const caption = document.createElement("figcaption");
      picture.src = jpeg(data.panels[key]);
      picture.alt = caption.textContent = text;
      figure.append(picture, caption);
      panels.append(figure);
    }
    this.showMesh(data, image);
  }

  showOverlays() {
    const { data } = this;
    if (!data) return;
    const unit = data.size / 256;
    const annotated = data.annotated && this.checked("s-annotated") ? crosses(data.annotated, 2.6 * unit) : "";
    const labels = this.checked("s-labels") ? lines(data.landmarks, this.about) + dots(data.landmarks, this.about, 1.5 * unit, data.visible) : "";
    const apart = data.annotated && this.checked("s-differences") ? differences(data.landmarks, data.annotated) : "";
    const predicted = data.predicted && this.checked("s-predicted") ? predictedDots(data.predicted, 1.5 * unit) : "";
    /** @type {HTMLInputElement} */ (this.at("s-predicted")).disabled = !data.predicted;
    for (const id of ["s-annotated", "s-differences"]) {
      /** @type {HTMLInputElement} */ (this.at(id)).disabled = !data.annotated;
    }
    this.crop.setAttribute("viewBox", this.part(data).join(" "));
    this.crop.innerHTML =
      `<title id="s-crop-title">Crop with its landmarks</title>` +
      `<image href="${jpeg(data.crop)}" x="-0.5" y="-0.5" width="${data.size}" height="${data.size}"></image>` +
      `<g class="predicted">${predicted}</g><g class="annotated">${annotated}</g><g class="labels">${labels}</g>${apart}`;
  }

  /** The part of the crop that is shown: pixel centers are whole numbers. @param {SampleData} data */
  part(data) {
    const of = /** @type {HTMLSelectElement} */ (this.at("s-part")).value;
    if (of === "all") return [-0.5, -0.5, data.size, data.size];
    const points = data.landmarks.slice(...(of === "eyes" ? [36, 48] : [48, 68]));
    const low = [0, 1].map((axis) => Math.min(...points.map((point) => point[axis])));
    const high = [0, 1].map((axis) => Math.max(...points.map((point) => point[axis])));
    const side = Math.max(high[0] - low[0], high[1] - low[1], data.size / 16) * 1.3;
    return [(low[0] + high[0] - side) / 2, (low[1] + high[1] - side) / 2, side, side];
  }

  /** @param {SampleData} data @param {HTMLImageElement} image */
  showMesh(data, image) {
    if (!data.mesh) {
      this.hideMesh("There is no surface to show: the map of this sample cannot be used.");
      return;
    }
    if (!this.mesh && !has3d()) {
      this.hideMesh("This browser draws nothing in 3D (no WebGL): the panels below show the same labels.");
      return;
    }
    const place = this.at("s-mesh");
    if (!this.mesh) {
      const canvas = document.createElement("canvas");
      canvas.tabIndex = 0;
      canvas.setAttribute("role", "slider");
      canvas.setAttribute("aria-valuemin", "-180");
      canvas.setAttribute("aria-valuemax", "180");
      canvas.setAttribute("aria-label", "The face as a mesh; arrow keys turn it, plus and minus enlarge, 0 is from the front");
      place.textContent = "";
      place.append(canvas);
      this.mesh = new FaceMesh(canvas);
    }
    place.classList.remove("message");
    if (!this.mesh.canvas.isConnected) place.replaceChildren(this.mesh.canvas);
    this.mesh.show(data.mesh, data.size, image);
  }

  /** @param {string} text */
  hideMesh(text) {
    const place = this.at("s-mesh");
    place.classList.add("message");
    place.textContent = text;
  }

  showMark() {
    if (this.row < 0) return;
    const marked = this.marks.has(this.columns.names[this.row]);
    this.at("s-mark").textContent = marked ? "Marked as bad" : "Mark as bad";
    this.at("s-mark").setAttribute("aria-pressed", String(marked));
  }

  /** @param {string[]} problems */
  showProblems(problems) {
    const list = this.at("s-problems");
    list.hidden = !problems.length;
    list.replaceChildren(...problems.map((text) => Object.assign(document.createElement("li"), { textContent: text })));
  }

  /** @param {[string, string][]} more */
  showNumbers(more) {
    const { columns, row, about } = this;
    const body = /** @type {HTMLElement} */ (this.at("s-numbers").querySelector("tbody"));
    const nme = columns.number.nme[row];
    const predicted = columns.predicted ? columns.number.prediction[row] : NaN;
    const flags = about.flags.filter((_, bit) => columns.flags[row] & (1 << bit)).map(([, text]) => text);
    /** @type {[string, string][]} */
    const all = [
      ["subset", about.subsets[columns.subset[row]]],
      .../** @type {[string, string][]} */ (
        columns.predicted ? [["prediction NME", predicted === predicted ? percent(predicted) : "no prediction that can be used"]] : []
      ),
      ["label NME", nme === nme ? percent(nme) : "no annotation to compare with"],
      ...["yaw", "pitch", "roll"].map((key) => /** @type {[string, string]} */ ([key, `${columns.number[key][row].toFixed(1)}°`])),
      ...more,
      ["oddity among the set", columns.number.oddity[row].toFixed(2)],
      ["flags", flags.join("; ") || "none"],
      .../** @type {[string, string][]} */ (this.data?.source ? [["file", this.data.source]] : []),
    ];
    body.replaceChildren(
      ...all.map(([key, text]) => {
        const line = document.createElement("tr");
        const head = document.createElement("th");
        head.scope = "row";
        head.textContent = key;
        line.append(head, Object.assign(document.createElement("td"), { textContent: text }));
        return line;
      }),
    );
  }
}
