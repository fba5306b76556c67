// @ts-check
// The steps of a network, as loops over arrays of float32.  Images are (H, W, C): channels last.
// Sums are in float64, which is what JavaScript computes in anyway.
"use strict";

/** @typedef {{do: string, y: number, x: number[], f: string} & Record<string, number>} Step */

const Kernels = (() => {
  /** @type {Record<string, (a: number, b: number, c: number) => number>} */
  const functions = {
    relu: (a) => (a > 0 ? a : 0),
    leaky: (a, b) => (a > 0 ? a : a * b),
    tanh: (a) => Math.tanh(a),
    sigmoid: (a) => 1 / (1 + Math.exp(-a)),
    softplus: (a) => Math.max(a, 0) + Math.log1p(Math.exp(-Math.abs(a))),
    clip: (a, b, c) => Math.min(Math.max(a, b), c),
    add: (a, b) => a + b,
    subtract: (a, b) => a - b,
    multiply: (a, b) => a * b,
    divide: (a, b) => a / b,
    greater: (a, b) => (a > b ? 1 : 0),
    where: (a, b, c) => (a ? b : c),
    affine: (a, b, c) => a * b + c,
  };

  /**
   * y = W x + b.  W is (outputs / 4, inputs, 4).
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const dense = (y, [x, w, b], { outputs, inputs }) => {
    for (let o = 0, j = 0; o < outputs; o += 4) {
      let s0 = b[o], s1 = b[o + 1], s2 = b[o + 2], s3 = b[o + 3];
      for (let i = 0; i < inputs; i++, j += 4) {
        const a = x[i];
        s0 += a * w[j];
        s1 += a * w[j + 1];
        s2 += a * w[j + 2];
        s3 += a * w[j + 3];
      }
      y[o] = s0; // what lies beyond the end of y is not stored
      y[o + 1] = s1;
      y[o + 2] = s2;
      y[o + 3] = s3;
    }
  };

  /**
   * A convolution: at each of rows x columns pixels the sums over `height` runs of x, for 4 outputs
   * and 2 pixels at once.  W is (outputs / 4, height, run, 4); x has its zeros around it already.
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const convolve = (y, [x, w, b], step) => {
    const { rows, columns, outputs, height, run, line, first, across, down } = step;
    const { begin, step: apart, leap } = step;
    for (let o = 0; o < outputs; o += 4) {
      const block = o * height * run;
      for (let row = 0; row < rows; row++) {
        for (let column = 0; column < columns; column += 2) {
          const both = column + 1 < columns ? 1 : 0; // the last of an odd number is computed twice
          const next = both * across;
          let s0 = b[o], s1 = b[o + 1], s2 = b[o + 2], s3 = b[o + 3];
          let t0 = s0, t1 = s1, t2 = s2, t3 = s3;
          let at = first + row * down + column * across;
          for (let k = 0, j = block; k < height; k++, at += line) {
            for (let i = at, end = at + run; i < end; i++, j += 4) {
              const s = x[i], t = x[i + next];
              const w0 = w[j], w1 = w[j + 1], w2 = w[j + 2], w3 = w[j + 3];
              s0 += s * w0;
              s1 += s * w1;
              s2 += s * w2;
              s3 += s * w3;
              t0 += t * w0;
              t1 += t * w1;
              t2 += t * w2;
              t3 += t * w3;
            }
          }
          const left = outputs - o;
          const to = begin + row * leap + column * apart + o;
          store(y, to + both * apart, left, t0, t1, t2, t3);
          store(y, to, left, s0, s1, s2, s3);
        }
      }
    }
  };

  /**
   * Stores up to 4 numbers.
   * @param {Float32Array} y @param {number} to @param {number} count
   * @param {number} s0 @param {number} s1 @param {number} s2 @param {number} s3
   */
  const store = (y, to, count, s0, s1, s2, s3) => {
    y[to] = s0;
    if (count > 1) y[to + 1] = s1;
    if (count > 2) y[to + 2] = s2;
    if (count > 3) y[to + 3] = s3;
  };

  /**
   * A function of each number; arrays that are shorter than y are repeated.
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const map = (y, x, { f }) => {
    const [a, b, c] = [x[0], x[1] ?? x[0], x[2] ?? x[0]];
    const of = functions[f];
    for (let i = 0, j = 0, k = 0, l = 0; i < y.length; i++) {
      y[i] = of(a[j], b[k], c[l]);
      if (++j === a.length) j = 0;
      if (++k === b.length) k = 0;
      if (++l === c.length) l = 0;
    }
  };

  /**
   * Lines of x in wider lines of y; the rest of y stays zero.
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const pad = (y, [x], { rows, line, wider, top, left }) => {
    for (let row = 0; row < rows; row++) {
      y.set(x.subarray(row * line, (row + 1) * line), (top + row) * wider + left);
    }
  };

  /**
   * (rows, columns) -> (columns, rows).
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const transpose = (y, [x], { rows, columns }) => {
    for (let row = 0, i = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, i++) y[column * rows + row] = x[i];
    }
  };

  /**
   * Each pixel `down` times below and `across` times beside itself.
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const resize = (y, [x], { rows, columns, channels, line, down, across }) => {
    for (let row = 0, to = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++, to += channels) {
        const from = Math.floor(row / down) * line + Math.floor(column / across) * channels;
        for (let c = 0; c < channels; c++) y[to + c] = x[from + c];
      }
    }
  };

  /**
   * Numbers of x from `first` on.
   * @param {Float32Array} y @param {Float32Array[]} x @param {Step} step
   */
  const slice = (y, [x], { first }) => y.set(x.subarray(first, first + y.length));

  return { dense, convolve, map, pad, transpose, resize, slice };
})();
