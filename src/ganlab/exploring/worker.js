// @ts-check
// The worker: gets the networks once, then a point at a time, and answers with images.
"use strict";

/** @typedef {{run(input: Float32Array): Promise<Float32Array>}} Network */

(() => {
  /** @type {Record<string, Network>} */
  const networks = {};

  /** @type {Record<string, (message: any) => Promise<any>>} */
  const answers = {
    /** Steps and weights of networks, by name. */
    async plain({ parts }) {
      for (const [name, { program, weights }] of Object.entries(parts)) {
        networks[name] = new PlainNetwork(program, weights);
      }
    },

    /** The library's two files, and models by name. */
    async onnxruntime({ module, binary, parts }) {
      const runtime = await OnnxNetwork.runtime(module, binary);
      for (const [name, { model, shape }] of Object.entries(parts)) {
        networks[name] = await OnnxNetwork.load(runtime, model, shape);
      }
    },

    /** What a network makes of a point, and the milliseconds that it took. */
    async run({ network, input }) {
      const start = performance.now();
      const output = await networks[network].run(input);
      return { output, milliseconds: performance.now() - start };
    },
  };

  addEventListener("message", async (event) => {
    const { id, kind, ...message } = event.data;
    try {
      postMessage({ id, result: await answers[kind](message) });
    } catch (error) {
      postMessage({ id, error: String(error) });
    }
  });
})();
