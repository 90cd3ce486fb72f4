// The list of marked samples: to save, to copy, to take from a text.

import { spellings } from "./columns.js";
import { sourceOf } from "./marks.js";
import { copied, count, counted, element } from "./text.js";

/** @param {number} n */
const be = (n) => (n === 1 ? "is" : "are");

const MOST_SHOWN = 50; // rejected lines

/** @param {import("./marks.js").Marks} marks @param {import("./columns.js").Columns} columns */
export function showMarks(marks, columns) {
  const text = /** @type {HTMLTextAreaElement} */ (element("marks-text"));
  const say = (/** @type {string} */ what) => (element("marks-status").textContent = what);
  /** @type {Map<string, number[]> | null} */
  let copies = null;
  /** Rows that a line means: of a set of copies, also all copies of a sample. @param {string} line */
  const rowsOf = (line) => {
    const row = columns.listed(line);
    if (row >= 0 || !marks.copies) return row >= 0 ? [row] : [];
    copies ??= columns.names.reduce((/** @type {Map<string, number[]>} */ all, name, k) => {
      const source = sourceOf(name).normalize("NFC");
      return all.set(source, [...(all.get(source) ?? []), k]);
    }, new Map());
    return spellings(line).map((name) => /** @type {Map<string, number[]>} */ (copies).get(name)).find(Boolean) ?? [];
  };
  const show = () => {
    const names = marks.list();
    element("n-marks").textContent = String(marks.names.size);
    element("marks-warning").hidden = marks.kept;
    element("marks-note").textContent = marks.copies && marks.names.size
      ? `${counted(marks.names.size, "augmented sample")} ${be(marks.names.size)} marked; the list names what they were made from: ${counted(names.length, "sample")}.`
      : `${count(names.length)} of ${counted(columns.n, "sample")} ${be(names.length)} marked.`;
    text.value = names.join("\n") + (names.length ? "\n" : "");
  };
  marks.listeners.push(show);
  show();
  element("marks-versions").hidden = marks.copies; // whose names the list does not have

  element("marks-download").addEventListener("click", () => {
    const names = marks.list();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([names.map((name) => `${name}\n`).join("")], { type: "text/plain" }));
    link.download = "bad.txt";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`Saved ${counted(names.length, "name")}.`);
  });
  element("marks-copy").addEventListener("click", async () => {
    const names = marks.list().map((name) => `${name}\n`).join("");
    say((await copied(names)) ? `Copied ${counted(marks.list().length, "name")}.` : "Copying is blocked here: select the text below.");
  });
  element("marks-add").addEventListener("click", () => {
    const paste = /** @type {HTMLTextAreaElement} */ (element("marks-paste")); // which is kept as it is
    const lines = paste.value.split(/\r?\n/).filter((line) => line.trim() && (rowsOf(line).length || !line.trim().startsWith("#")));
    const found = lines.map((line) => rowsOf(line));
    marks.add(found.flat().map((row) => columns.names[row]));
    const unknown = lines.filter((_, k) => !found[k].length);
    const taken = lines.length - unknown.length;
    const rest = unknown.length ? `; ${count(unknown.length)} ${unknown.length === 1 ? "names" : "name"} no sample of this data set.` : ".";
    element("marks-added").textContent = `${count(taken)} of ${counted(lines.length, "line")} ${be(taken)} marked${rest}`;
    const rejected = element("marks-rejected");
    rejected.hidden = !unknown.length;
    const items = unknown.slice(0, MOST_SHOWN).map((line) => {
      const item = document.createElement("li");
      item.append(Object.assign(document.createElement("code"), { textContent: line }));
      return item;
    });
    if (unknown.length > MOST_SHOWN) items.push(Object.assign(document.createElement("li"), { textContent: `and ${count(unknown.length - MOST_SHOWN)} more` }));
    rejected.querySelector("ul")?.replaceChildren(...items);
  });
  element("marks-clear").addEventListener("click", () => {
    if (!marks.names.size || !confirm(`Take ${marks.names.size === 1 ? "the mark" : `all ${count(marks.names.size)} marks`} away?`)) return;
    marks.clear();
    say("No sample is marked.");
  });
}
