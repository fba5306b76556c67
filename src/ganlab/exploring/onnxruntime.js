// @ts-check
// A network as an ONNX model, run by ONNX Runtime Web, whose files are in the page.
"use strict";

/** @typedef {{InferenceSession: any, Tensor: any, env: any}} Runtime */

class OnnxNetwork {
  /**
   * @param {Runtime} runtime
   * @param {any} session
   * @param {number[]} shape of an image (C, H, W); empty: the output is no image
   */
  constructor(runtime, session, shape) {
    this.runtime = runtime;
    this.session = session;
    this.shape = shape;
  }

  /**
   * The library, from a module and a WebAssembly binary.  A page from a file has one thread.
   * @param {Uint8Array} module
   * @param {Uint8Array} binary
   * @returns {Promise<Runtime>}
   */
  static async runtime(module, binary) {
    const url = URL.createObjectURL(new Blob([module], { type: "text/javascript" }));
    const runtime = await import(url);
    URL.revokeObjectURL(url);
    runtime.env.wasm.wasmBinary = binary;
    runtime.env.wasm.numThreads = 1;
    return runtime;
  }

  /**
   * @param {Runtime} runtime
   * @param {Uint8Array} model
   * @param {number[]} shape
   */
  static async load(runtime, model, shape) {
    const options = { executionProviders: ["wasm"] };
    return new OnnxNetwork(runtime, await runtime.InferenceSession.create(model, options), shape);
  }

  /**
   * @param {Float32Array} input one point
   * @returns {Promise<Float32Array>} what the network makes of it; images are (H, W, C)
   */
  async run(input) {
    const tensor = new this.runtime.Tensor("float32", input, [1, input.length]);
    const { session } = this;
    const found = await session.run({ [session.inputNames[0]]: tensor });
    return channelsLast(found[session.outputNames[0]].data, this.shape);
  }
}

/**
 * (C, H, W) -> (H, W, C).
 * @param {Float32Array} values
 * @param {number[]} shape
 */
function channelsLast(values, shape) {
  if (!shape.length) return values.slice();
  const pixels = shape[1] * shape[2], channels = shape[0];
  const out = new Float32Array(values.length);
  for (let c = 0, i = 0; c < channels; c++) {
    for (let p = 0; p < pixels; p++, i++) out[p * channels + c] = values[i];
  }
  return out;
}
