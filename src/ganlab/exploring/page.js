// @ts-check
// Starts the worker, gives it the networks, and brings the page to life.
"use strict";

(async () => {
  /** @type {About & {engine: string, half: boolean, programs: Record<string, Program>}} */
  const about = Payload.data("about");
  const desk = new Desk(Payload.text("worker"));

  /** Hands the worker steps and weights. */
  const plain = async () => {
    /** @type {Record<string, {program: Program, weights: Float32Array}>} */
    const parts = {};
    for (const [name, program] of Object.entries(about.programs)) {
      const weights = Payload.floats(await Payload.bytes(`weights-${name}`), about.half);
      parts[name] = { program, weights };
    }
    await desk.send("plain", { parts }, Object.values(parts).map((part) => part.weights.buffer));
  };

  /** Hands the worker the library and the models. */
  const onnxruntime = async () => {
    const module = await Payload.bytes("runtime-module");
    const binary = await Payload.bytes("runtime-binary");
    /** @type {Record<string, {model: Uint8Array, shape: number[]}>} */
    const parts = {};
    for (const name of Object.keys(about.programs)) {
      const model = await Payload.bytes(`weights-${name}`);
      parts[name] = { model, shape: name === "images" ? about.image : [] };
    }
    await desk.send("onnxruntime", { module, binary, parts });
  };

  try {
    await (about.engine === "plain" ? plain() : onnxruntime());
    const explorer = new Explorer(new Space(about, desk));
    const point = Point.of(location.hash.slice(1), explorer.space.expected);
    if (point) explorer.point = point;
    else if (location.hash.length > 1) {
      complain("The link in the address is damaged, or of another generator.");
    }
    new Picture(explorer);
    new Controls(explorer);
    const shelf = new Shelf(explorer);
    new Walk(explorer, shelf);
    new Plane(explorer);
    element("main", HTMLElement).dataset.ready = String(Math.round(performance.now()));
  } catch (error) {
    complain(`The generator cannot run in this browser: ${error}`);
  }
})();
