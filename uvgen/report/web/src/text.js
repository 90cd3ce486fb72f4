// Numbers and names as all views write them.

/** @template {HTMLElement} T @param {string} id @returns {T} */
export const element = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {number} n */
export const count = (n) => n.toLocaleString("en");

/** A number of things, in the singular where it is one. @param {number} n @param {string} thing */
export const counted = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;

/** A number, with so many decimals at least. @param {number} value */
export const decimal = (value, least = 0) => value.toLocaleString("en", { minimumFractionDigits: least, maximumFractionDigits: 6 });

/** A share in percent, with two decimals everywhere. @param {number} share */
export const percent = (share) => `${(100 * share).toFixed(2)}%`;

/** The address of a sample. @param {string} name */
export const addressOf = (name) => `#sample=${encodeURIComponent(name)}`;

/** A number with its unit: 5%, 30°, 450 px. @param {string} text @param {string} unit */
export const withUnit = (text, unit) => text + (unit.length > 1 ? ` ${unit}` : unit);

/** Put a text into the clipboard; false where the browser does not allow it. @param {string} text */
export async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea"); // pages from disk may have no clipboard but this
    const before = /** @type {HTMLElement | null} */ (document.activeElement);
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    before?.focus({ preventScroll: true });
    return done;
  }
}
