// @ts-check
// Questions to the worker, one at a time: the image on show first, small pictures after it.
"use strict";

/** @typedef {{output: Float32Array, milliseconds: number}} Answer */

const Lane = { SHOWN: 0, KEPT: 1, MAP: 2 };

class Desk {
  /** @param {string} script of the worker */
  constructor(script) {
    const url = URL.createObjectURL(new Blob([script], { type: "text/javascript" }));
    this.worker = new Worker(url);
    /** @type {Map<number, {resolve: (value: any) => void, reject: (error: Error) => void}>} */
    this.open = new Map();
    this.count = 0;
    /** @type {{lane: number, input: Float32Array, network: string,
     *   resolve: (answer: Answer | null | Promise<Answer>) => void}[]} */
    this.waiting = [];
    this.busy = false;
    this.worker.addEventListener("message", ({ data }) => {
      const { resolve, reject } = this.open.get(data.id) ?? { resolve() {}, reject() {} };
      this.open.delete(data.id);
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.result);
    });
  }

  /**
   * Sends the worker a message.
   * @param {string} kind
   * @param {object} message
   * @param {Transferable[]} given what is handed over
   * @returns {Promise<any>} its answer
   */
  send(kind, message, given = []) {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.open.set(id, { resolve, reject });
      this.worker.postMessage({ id, kind, ...message }, given);
    });
  }

  /**
   * What a network makes of a point.
   * @param {number} lane the lower, the sooner
   * @param {string} network
   * @param {Float32Array} input
   * @returns {Promise<Answer | null>} null: the question was dropped
   */
  ask(lane, network, input) {
    return new Promise((resolve) => {
      this.waiting.push({ lane, network, input, resolve });
      this.next();
    });
  }

  /**
   * Drops what waits in a lane.
   * @param {number} lane
   */
  drop(lane) {
    for (const one of this.waiting) if (one.lane === lane) one.resolve(null);
    this.waiting = this.waiting.filter((one) => one.lane !== lane);
  }

  async next() {
    if (this.busy || !this.waiting.length) return;
    const lane = Math.min(...this.waiting.map((one) => one.lane));
    const [{ network, input, resolve }] = this.waiting.splice(
      this.waiting.findIndex((one) => one.lane === lane),
      1,
    );
    this.busy = true;
    const answer = this.send("run", { network, input });
    resolve(answer);
    await answer.catch(() => null); // who asked hears of it
    this.busy = false;
    this.next();
  }
}
