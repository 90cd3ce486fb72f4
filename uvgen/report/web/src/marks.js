// Marks of samples as bad: kept by the browser for this data set, if it keeps anything, and exported as a list of names.

export class Marks {
  /** @param {string} identity of the data set @param {boolean} copies whether names end in the number of a copy */
  constructor(identity, copies) {
    this.key = `uvgen-marks-${identity}`;
    this.copies = copies;
    this.kept = true;
    /** @type {Set<string>} */
    this.names = new Set();
    /** @type {(() => void)[]} */
    this.listeners = [];
    this.read();
    window.addEventListener("storage", (event) => {
      if (event.key === this.key || event.key === null) {
        this.read();
        this.tell();
      }
    });
  }

  /** Take what is stored: another tab may have changed it. */
  read() {
    try {
      const names = JSON.parse(localStorage.getItem(this.key) ?? "[]");
      this.names = new Set(Array.isArray(names) ? names.filter((name) => typeof name === "string") : []);
    } catch (error) {
      this.kept = error instanceof SyntaxError; // what is there is not ours, and is replaced
      this.names = new Set(this.kept ? [] : this.names);
    }
  }

  /** @param {string} name */
  has(name) {
    return this.names.has(name);
  }

  /** Mark, or take the mark away; true where it is marked now. @param {string} name */
  toggle(name) {
    if (!this.names.delete(name)) this.names.add(name);
    this.write();
    return this.names.has(name);
  }

  /** @param {Iterable<string>} names */
  add(names) {
    for (const name of names) this.names.add(name);
    this.write();
  }

  clear() {
    this.names.clear();
    this.write();
  }

  write() {
    try {
      localStorage.setItem(this.key, JSON.stringify([...this.names].sort()));
      this.kept = true;
    } catch {
      this.kept = false; // blocked, or full
    }
    this.tell();
  }

  tell() {
    for (const listener of this.listeners) listener();
  }

  /** The list that `uvgen build --exclude` takes: names of samples, those of copies without the copy's number. */
  list() {
    const names = [...this.names].map((name) => (this.copies ? sourceOf(name) : name));
    return [...new Set(names)].sort();
  }
}

/** Name of the sample that a copy was made from. @param {string} name */
export const sourceOf = (name) => name.replace(/-\d+$/, "");
