// The list of marked samples: to save, to copy, to take from a text.

/** @template {HTMLElement} T @param {string} id @returns {T} */
const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {import("./marks.js").Marks} marks @param {import("./columns.js").Columns} columns */
export function showMarks(marks, columns) {
  const text = /** @type {HTMLTextAreaElement} */ (element("marks-text"));
  const say = (/** @type {string} */ what) => (element("marks-status").textContent = what);
  const show = () => {
    const names = marks.list();
    element("n-marks").textContent = String(marks.names.size);
    element("marks-warning").hidden = marks.kept;
    element("marks-note").textContent = marks.copies && marks.names.size
      ? `${marks.names.size} augmented samples are marked; the list has the ${names.length} that they were made from.`
      : `${names.length} of ${columns.n} samples are marked.`;
    text.value = names.join("\n") + (names.length ? "\n" : "");
  };
  marks.listeners.push(show);
  show();

  element("marks-download").addEventListener("click", () => {
    const names = marks.list();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([names.map((name) => `${name}\n`).join("")], { type: "text/plain" }));
    link.download = "bad.txt";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    say(`Saved ${names.length} names.`);
  });
  element("marks-copy").addEventListener("click", async () => {
    const names = marks.list().map((name) => `${name}\n`).join("");
    say((await copied(names, text)) ? `Copied ${marks.list().length} names.` : "Copying is blocked here: select the text below.");
  });
  element("marks-add").addEventListener("click", () => {
    const lines = text.value.split(/\r?\n/).filter((line) => line.trim());
    const known = lines.filter((line) => columns.row(line) >= 0);
    const unknown = lines.length - known.length;
    marks.add(known);
    say(`${known.length} names are marked` + (unknown ? `; ${unknown} are not in this data set.` : "."));
  });
  element("marks-clear").addEventListener("click", () => {
    if (!marks.names.size || !confirm(`Take all ${marks.names.size} marks away?`)) return;
    marks.clear();
    say("No sample is marked.");
  });
}

/** @param {string} text @param {HTMLTextAreaElement} area */
async function copied(text, area) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    area.focus();
    area.select();
    return document.execCommand("copy");
  }
}
