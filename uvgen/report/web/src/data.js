// Data from scripts: pages opened from disk may load scripts and nothing else. Each calls a function of `uvgenReport`.

/** `counts` between neighboring `edges`, and what lies `under` the first and `over` the last of them.
 * @typedef {{title: string, column: string, unit: string, edges: number[], counts: number[], under: number, over: number,
 *   low: number, high: number, median: number, digits: number}} Histogram */
/** @typedef {{title: string, identity: string, samples: number, subsets: string[], flags: [string, string][],
 *   histograms: Histogram[], perFile: number, thumb: number, pages: number, listed: boolean, copies: boolean, made: boolean,
 *   lines: [number[], boolean][], sides: number[]}} Overview */
/** @typedef {{i: string, l: string, a?: string}} Thumb */
/** @typedef {{side: number, covered: string, seen: string, points: string, low: number[], high: number[],
 *   middle: number[], reach: number, turn: number}} MeshData */
/** @typedef {{name: string, source: string, size: number, crop: string, landmarks: number[][],
 *   annotated: (number|null)[][] | null, predicted: (number|null)[][] | null, numbers: [string, string][], problems: string[],
 *   panels: Record<string, string>, mesh: MeshData | null, visible: number[] | null}} SampleData */

/** @type {Map<string, (value: any) => void>} */
const waiting = new Map();

/** Hand what a script brings to whoever waits for it. @param {string} key @param {any} value */
export function arrived(key, value) {
  waiting.get(key)?.(value);
  waiting.delete(key);
}

/** Load a script that calls `arrived(key, …)`. @param {string} key @param {string} source @returns {Promise<any>} */
export function load(key, source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const fail = () => {
      waiting.delete(key);
      script.remove();
      reject(new Error(`${source}: cannot be read; was the report copied without its folders?`));
    };
    waiting.set(key, (value) => {
      resolve(value);
      queueMicrotask(() => script.remove());
    });
    script.onerror = fail;
    script.onload = () => waiting.has(key) && fail();
    script.src = source;
    document.head.append(script);
  });
}

/** What is loaded by number, the latest used ones kept. @template T */
export class Store {
  /** @param {string} kind @param {(number: number) => string} place @param {number} most */
  constructor(kind, place, most) {
    this.kind = kind;
    this.place = place;
    this.most = most;
    /** @type {Map<number, T>} */
    this.there = new Map();
    /** @type {Map<number, Promise<T>>} */
    this.coming = new Map();
  }

  /** @param {number} number @returns {T | undefined} */
  now(number) {
    const value = this.there.get(number);
    if (value !== undefined) {
      this.there.delete(number);
      this.there.set(number, value);
    }
    return value;
  }

  /** @param {number} number @returns {Promise<T>} */
  get(number) {
    const value = this.now(number);
    if (value !== undefined) return Promise.resolve(value);
    let promise = this.coming.get(number);
    if (!promise) {
      promise = load(`${this.kind}${number}`, this.place(number)).finally(() => this.coming.delete(number));
      this.coming.set(number, promise);
      promise.then((loaded) => {
        this.there.set(number, loaded);
        if (this.there.size > this.most) this.there.delete(/** @type {number} */ (this.there.keys().next().value));
      }, () => {});
    }
    return promise;
  }
}

/** @param {number} value @param {number} digits */
const padded = (value, digits) => String(value).padStart(digits, "0");

/** @type {Store<Thumb[]>} */
export const thumbs = new Store("thumbs", (n) => `data/thumbs/${padded(n >> 8, 3)}/${padded(n, 6)}.js`, 300);

/** @type {Store<SampleData>} */
export const samples = new Store("sample", (n) => `data/samples/${padded(n >> 10, 3)}/${padded(n, 6)}.js`, 20);

/** Bytes of base64. @param {string} text @returns {Uint8Array} */
export function bytes(text) {
  const binary = atob(text);
  const out = new Uint8Array(binary.length);
  for (let k = 0; k < binary.length; k++) out[k] = binary.charCodeAt(k);
  return out;
}

/** @param {string} text */
export const jpeg = (text) => `data:image/jpeg;base64,${text}`;

/** The first `n` bits of bytes, highest first. @param {Uint8Array} data @param {number} n @returns {Uint8Array} */
export function bits(data, n) {
  const out = new Uint8Array(n);
  for (let k = 0; k < n; k++) out[k] = (data[k >> 3] >> (7 - (k & 7))) & 1;
  return out;
}
