// @ts-check
// A network as a list of steps (program.py), run by the loops of kernels.js.
"use strict";

/**
 * @typedef {{steps: Step[], sizes: number[], places: number[], input: number, output: number}}
 *   Program
 */

class PlainNetwork {
  /**
   * @param {Program} program
   * @param {Float32Array} weights all constants
   */
  constructor(program, weights) {
    this.program = program;
    this.values = program.sizes.map((size, i) => {
      const place = program.places[i];
      return place < 0 ? new Float32Array(size) : weights.subarray(place, place + size);
    });
  }

  /**
   * @param {Float32Array} input one point
   * @returns {Promise<Float32Array>} what the network makes of it; images are (H, W, C)
   */
  async run(input) {
    const { steps, input: first, output } = this.program;
    this.values[first].set(input);
    for (const step of steps) {
      const kernel = Kernels[/** @type {keyof Kernels} */ (step.do)];
      kernel(this.values[step.y], step.x.map((i) => this.values[i]), step);
    }
    return this.values[output].slice();
  }
}
