// What the gallery is sorted by: heads of the table's columns, and buttons above the tiles.

import { element } from "./text.js";

/** @typedef {import("./columns.js").Key} Key */

const PREDICTION = "prediction";
const HEADS = /** @type {[string, string, boolean | null][]} */ ([
  ["picture", "Picture", null], ["worst", "Worst", true], ["name", "Name", false], ["subset", "Subset", false],
  [PREDICTION, "Prediction NME", true], ["nme", "NME", true], ["absyaw", "|Yaw|", true], ["yaw", "Yaw", true], ["pitch", "Pitch", true],
  ["roll", "Roll", true], ["oddity", "Oddity", true], ["flags", "Flags", null], ["mark", "Mark", null],
]); // and whether large ones come first, when first asked for; null where nothing is sorted

export class Heads {
  /** @param {boolean} predicted whether there are predictions @param {() => void} changed */
  constructor(predicted, changed) {
    /** @type {Key} */
    this.key = "worst";
    this.down = true;
    this.box = element("heads");
    /** @type {[string, HTMLElement][]} */
    this.sorted = [];
    for (const [key, text, first] of HEADS) {
      if (key === PREDICTION && !predicted) continue;
      const head = document.createElement("div");
      head.setAttribute("role", "columnheader");
      head.dataset.key = key;
      if (first === null) {
        head.textContent = text;
      } else {
        const button = document.createElement("button");
        button.type = "button";
        button.textContent = predicted && key === "nme" ? `Label ${text}` : text;
        button.addEventListener("click", () => {
          this.set(/** @type {Key} */ (key), this.key === key ? !this.down : first);
          changed();
        });
        head.append(button);
        this.sorted.push([key, head]);
      }
      this.box.append(head);
    }
    this.show();
  }

  /** @param {Key} key @param {boolean} down whether large ones come first */
  set(key, down) {
    this.key = key;
    this.down = down;
    this.show();
  }

  show() {
    for (const [key, head] of this.sorted) {
      head.setAttribute("aria-sort", key === this.key ? (this.down ? "descending" : "ascending") : "none");
    }
  }

  /** Leave room for what stands beside the rows. @param {number} scrollbar px */
  fit(scrollbar) {
    this.box.style.setProperty("--scrollbar", `${scrollbar}px`);
  }

  /** The order in an address: `-nme` has large ones first. @param {URLSearchParams} to */
  save(to) {
    if (this.key !== "worst" || !this.down) to.set("sort", (this.down ? "-" : "") + this.key);
  }

  /** @param {URLSearchParams} from */
  write(from) {
    const text = from.get("sort") ?? "-worst";
    const key = text.replace(/^-/, "");
    if (this.sorted.some(([known]) => known === key)) this.set(/** @type {Key} */ (key), text.startsWith("-"));
    else this.set("worst", true);
  }
}
