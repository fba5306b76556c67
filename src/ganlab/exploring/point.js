// @ts-check
// A point: where an image is, as a link says it.  It does not change; `with` makes another one.
"use strict";

/**
 * @typedef {{kind: string, dim: number, low: number, high: number}} Prior
 * @typedef {{choices: string[], kind: string, continuous: number, drawn: boolean}} Codes
 * @typedef {{seed: number | null, at: Float32Array | null, truncation: number | null,
 *   code: Float32Array, moves: number[]}} Place
 */

class Point {
  /**
   * @param {Place} place the seed, or in its stead the numbers of a vector; the truncation of what
   *   the seed gives; the code; moves along the directions, in standard deviations
   */
  constructor({ seed, at, truncation, code, moves }) {
    this.seed = seed;
    this.at = at;
    this.truncation = truncation;
    this.code = code;
    this.moves = moves;
  }

  /** @param {Partial<Place>} changes @returns {Point} */
  with(changes) {
    return new Point({ ...this, ...changes });
  }

  /**
   * The choice that the code makes; -1: a mixture.
   * @param {Codes} codes
   */
  choice({ choices }) {
    const part = this.code.subarray(0, choices.length);
    const one = part.indexOf(1);
    return part.every((value, i) => value === (i === one ? 1 : 0)) ? one : -1;
  }

  /** @param {Codes} codes @param {number} choice @returns {Point} */
  choosing(codes, choice) {
    const code = this.code.slice();
    for (let i = 0; i < codes.choices.length; i++) code[i] = i === choice ? 1 : 0;
    return this.with({ code });
  }

  /**
   * The part of a link after #.
   * @param {Codes} codes
   */
  link(codes) {
    const words = new URLSearchParams();
    if (this.at) words.set("at", Base64.text(this.at));
    else words.set("seed", String(this.seed));
    if (this.truncation !== null && !this.at) words.set("truncation", String(this.truncation));
    const choice = this.choice(codes), rest = this.code.subarray(codes.choices.length);
    if (codes.choices.length && choice < 0) words.set("code", Base64.text(this.code));
    else {
      if (codes.choices.length) words.set("class", String(choice));
      if (rest.length) words.set("codes", Array.from(rest, shortest).join(","));
    }
    const moves = this.moves.map(shortest).join(",").replace(/(,0)+$/, "");
    if (moves !== "0" && moves) words.set("move", moves);
    return words.toString().replaceAll("%2C", ",");
  }

  /**
   * The point of a link.
   * @param {string} link
   * @param {{dim: number, directions: number, codes: Codes}} expected
   * @returns {Point | null} null: the link is of another generator, or damaged
   */
  static of(link, { dim, directions, codes }) {
    const words = new URLSearchParams(link);
    try {
      const at = words.has("at") ? vector(words.get("at"), dim) : null;
      const seed = at ? null : whole(words.get("seed"), 2 ** 32);
      const truncation = words.has("truncation") ? positive(words.get("truncation")) : null;
      const moves = numbers(words.get("move") ?? "", directions);
      const count = codes.choices.length;
      if (!count && words.has("class")) throw new RangeError("class");
      let code = new Float32Array(count + codes.continuous);
      if (words.has("code")) code = vector(words.get("code"), code.length);
      else {
        if (count) code[whole(words.get("class"), count)] = 1;
        code.set(numbers(words.get("codes") ?? "", codes.continuous), count);
      }
      return new Point({ seed, at, truncation, code, moves });
    } catch {
      return null;
    }
  }
}

/** @param {number} value of float32 @returns {string} few digits that say it exactly */
function shortest(value) {
  const short = String(Number(value.toPrecision(7)));
  return Math.fround(Number(short)) === Math.fround(value) ? short : String(value);
}

/** @param {string | null} text @param {number} end @returns {number} in 0 .. end - 1 */
function whole(text, end) {
  const value = Number(text);
  if (text === null || !/^\d+$/.test(text) || value >= end) throw new RangeError(String(text));
  return value;
}

/** @param {string | null} text @returns {number} */
function positive(text) {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new RangeError(String(text));
  return value;
}

/** @param {string} text @param {number} count @returns {number[]} as many, with zeros at the end */
function numbers(text, count) {
  const found = text ? text.split(",").map(Number) : [];
  if (found.length > count || !found.every(Number.isFinite)) throw new RangeError(text);
  return Array.from({ length: count }, (_, i) => found[i] ?? 0);
}

/** @param {string | null} text @param {number} count @returns {Float32Array} */
function vector(text, count) {
  const found = Base64.floats(text ?? "");
  if (found.length !== count || !found.every(Number.isFinite)) throw new RangeError("vector");
  return found;
}
