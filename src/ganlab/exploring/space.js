// @ts-check
// Where points have coordinates: z, or w of a StyleGAN.
"use strict";

/**
 * @typedef {{kind: string, share: number[], deviations: number[], vectors: string}} Directions
 * @typedef {{generator: string, name: string, space: string, dim: number, prior: Prior,
 *   codes: Codes, mean: string, truncation: {fixed: number | null}, directions: Directions,
 *   image: number[]}} About
 */

class Space {
  /**
   * @param {About} about
   * @param {Desk} desk runs the mapping from z to w
   */
  constructor(about, desk) {
    const { dim, directions } = about;
    this.about = about;
    this.desk = desk;
    this.mean = Base64.floats(about.mean);
    const all = Base64.floats(directions.vectors);
    this.vectors = directions.deviations.map((_, k) => all.subarray(k * dim, (k + 1) * dim));
  }

  /** What a link must be like. */
  get expected() {
    const { dim, directions, codes } = this.about;
    return { dim, directions: directions.deviations.length, codes };
  }

  /**
   * The point of a seed; the code stays where it is chosen, and is drawn where it is drawn.
   * @param {number} seed
   * @param {Point} before
   */
  seeded(seed, before) {
    const { prior, codes } = this.about;
    const { choice, continuous } = Draws.latent(seed, prior, codes, null);
    const code = before.code.slice();
    if (codes.drawn) code.set(continuous, codes.choices.length);
    const point = before.with({ seed, at: null, code });
    return choice === null ? point : point.choosing(codes, choice);
  }

  /** The point that a page begins with. */
  first() {
    const { codes, directions, truncation } = this.about;
    const code = new Float32Array(codes.choices.length + codes.continuous);
    const moves = directions.deviations.map(() => 0);
    const point = new Point({ seed: 0, at: null, truncation: truncation.fixed, code, moves });
    return this.seeded(0, codes.choices.length ? point.choosing(codes, 0) : point);
  }

  /**
   * The vector of a point before its moves.
   * @param {Point} point
   * @param {number} lane
   * @returns {Promise<Float32Array | null>} null: the question was dropped
   */
  async origin({ at, seed, truncation, code }, lane) {
    if (at) return at;
    const { prior, codes, space } = this.about;
    const { noise } = Draws.latent(seed ?? 0, prior, codes, space === "z" ? truncation : null);
    if (space === "z") return noise;
    const answer = await this.desk.ask(lane, "mapping", joined(noise, code));
    return answer && answer.output.map((w, i) => this.mean[i] + (truncation ?? 1) * (w - this.mean[i]));
  }

  /**
   * A vector moved along the directions.
   * @param {Float32Array} origin
   * @param {number[]} moves in standard deviations
   */
  moved(origin, moves) {
    const vector = origin.slice();
    moves.forEach((move, k) => {
      const size = move * this.about.directions.deviations[k];
      if (size) for (let i = 0; i < vector.length; i++) vector[i] += size * this.vectors[k][i];
    });
    return vector;
  }

  /**
   * The image of a vector.
   * @param {Float32Array} vector
   * @param {Float32Array} code
   * @param {number} lane
   */
  image(vector, code, lane) {
    const input = this.about.space === "z" ? joined(vector, code) : vector;
    return this.desk.ask(lane, "images", input);
  }

  /**
   * The image of a point.
   * @param {Point} point
   * @param {number} lane
   */
  async draw(point, lane) {
    const origin = await this.origin(point, lane);
    return origin && this.image(this.moved(origin, point.moves), point.code, lane);
  }

  /**
   * The command that draws the image of a point.
   * @param {Point} point
   * @returns {string | null} null: the image is not a seed's own
   */
  command(point) {
    const { codes } = this.about, { seed, truncation, moves } = point;
    if (seed === null || moves.some(Boolean)) return null;
    const words = ["ganlab sample run=RUN", `seeds=${seed}`];
    if (codes.kind === "class") {
      const choice = point.choice(codes);
      if (choice < 0) return null;
      words.push(`labels=[${choice}]`);
    } else if (!this.drawsCode(seed, point)) return null;
    if (truncation !== null) words.push(`truncation=${truncation}`);
    return [...words, "singles=true"].join(" ");
  }

  /**
   * Whether the code of a point is the one that comes with a seed.
   * @param {number} seed
   * @param {Point} point
   */
  drawsCode(seed, point) {
    const own = this.seeded(seed, point).code;
    return this.about.codes.drawn ? own.every((value, i) => value === point.code[i]) : !own.length;
  }

  /**
   * A vector between two: on a great circle if the noise is Gaussian (White 2016), else straight.
   * @param {Float32Array} start
   * @param {Float32Array} end
   * @param {number} t in [0, 1]
   */
  between(start, end, t) {
    const round = this.about.space === "z" && this.about.prior.kind === "gaussian";
    if (!round) return mixture(start, end, 1 - t, t);
    const cosine = product(start, end) / Math.sqrt(product(start, start) * product(end, end));
    const angle = Math.max(Math.acos(Math.min(1, Math.max(-1, cosine))), 1e-6);
    const whole = Math.sin(angle);
    return mixture(start, end, Math.sin((1 - t) * angle) / whole, Math.sin(t * angle) / whole);
  }
}

/** @param {Float32Array} a @param {Float32Array} b @returns {Float32Array} one after the other */
function joined(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

/**
 * @param {Float32Array} a @param {Float32Array} b @param {number} s @param {number} t
 * @returns {Float32Array} s a + t b
 */
function mixture(a, b, s, t) {
  return a.map((value, i) => s * value + t * b[i]);
}

/** @param {Float32Array} a @param {Float32Array} b */
function product(a, b) {
  return a.reduce((sum, value, i) => sum + value * b[i], 0);
}
