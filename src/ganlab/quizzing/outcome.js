// @ts-check
// The result in words, as a scale, as the steps of the exposures, and as a table.
"use strict";

/**
 * @typedef {object} QuizResult
 * @property {string} mode
 * @property {boolean} paired
 * @property {number} trials
 * @property {number} errors
 * @property {number} error_rate
 * @property {[number, number]} interval
 * @property {string} interval_by
 * @property {number | null} errors_on_real
 * @property {number | null} errors_on_fake
 * @property {number | null} exposure_ms
 * @property {number | null} lag_ms
 * @property {number} seconds_per_answer
 * @property {number} seed
 * @property {(number | null)[]} exposures
 */

class QuizOutcome {
  /** @param {QuizResult} result */
  constructor(result) {
    this.result = result;
  }

  /** Fills the section of the result. */
  show() {
    const { result } = this;
    const timed = result.exposure_ms !== null;
    this.say("score", timed ? `${Math.round(Number(result.exposure_ms))} ms` : this.percent(result.error_rate));
    this.say("what", timed ? "is the exposure that you needed." : `wrong: ${result.errors} of ${result.trials} answers.`);
    const [low, high] = result.interval;
    const scale = this.element("scale");
    scale.setAttribute("aria-label", `${this.percent(result.error_rate)} wrong, interval ${this.percent(low)} to ${this.percent(high)}`);
    this.element("span").style.left = `${100 * low}%`;
    this.element("span").style.width = `${100 * (high - low)}%`;
    this.element("point").style.left = `${100 * result.error_rate}%`;
    scale.hidden = timed;
    if (timed) this.steps(result.exposures.map(Number));
    for (const text of timed ? this.aboutTime() : this.aboutErrors()) {
      const paragraph = document.createElement("p");
      paragraph.textContent = text;
      this.element("meaning").append(paragraph);
    }
    for (const [name, value] of this.rows()) {
      const row = document.createElement("tr");
      const [head, cell] = [document.createElement("th"), document.createElement("td")];
      head.scope = "row";
      head.textContent = name;
      cell.textContent = value;
      cell.className = "number";
      row.append(head, cell);
      this.element("numbers").append(row);
    }
  }

  /** @returns {string[]} what an error rate means */
  aboutErrors() {
    const { interval, interval_by: method, error_rate: rate } = this.result;
    const [low, high] = interval;
    const told = high < 0.5 ? "You can tell real images from generated ones better than by chance."
      : low > 0.5 ? "Generated images look more real to you than real ones."
      : "These answers do not show that you can tell them apart.";
    const how = method === "bootstrap" ? "resampling your answers 10,000 times (bootstrap)" : "the exact method, as all answers are alike";
    return [
      told,
      "0% means that every image is found out, 50% is chance: who cannot tell is wrong in half of the trials.",
      `With other images of the same kind your rate of ${this.percent(rate)} would differ. The 95% interval, `
        + `${this.percent(low)} to ${this.percent(high)}, says by how much. It was found by ${how}.`,
    ];
  }

  /** @returns {string[]} what an exposure means */
  aboutTime() {
    const { exposure_ms: exposure, lag_ms: lag } = this.result;
    const end = Number(exposure) <= 100 ? "100 ms is the shortest exposure: you tell the images apart at a glance."
      : Number(exposure) >= 1000 ? "1000 ms is the longest exposure: a second is not enough to tell them apart."
      : "The longer the exposure, the better are the images.";
    const few = this.result.trials < 50 ? " After fewer than 50 trials they may still be on their way." : "";
    const late = lag === null ? "" : ` On this screen images stayed ${Math.abs(lag).toFixed(1)} ms `
      + `${lag < 0 ? "shorter" : "longer"} than asked, on average.`;
    return [
      end,
      "The exposures come to rest where you are right in three of four trials. The result is the one they were at most often. "
        + `So about 25% of the answers are wrong by design, and the rate of errors is no score here.${few}${late}`,
    ];
  }

  /** @returns {[string, string][]} */
  rows() {
    const { result } = this;
    const [low, high] = result.interval;
    /** @type {[string, string][]} */
    const rows = [
      ["Wrong answers", `${result.errors} of ${result.trials}`],
      ["95% interval", `${this.percent(low)} to ${this.percent(high)}`],
    ];
    if (result.errors_on_real !== null) rows.push(["Real images taken for generated", this.percent(result.errors_on_real)]);
    if (result.errors_on_fake !== null) rows.push(["Generated images taken for real", this.percent(result.errors_on_fake)]);
    rows.push(["Median time of an answer", `${result.seconds_per_answer.toFixed(1)} s`], ["Seed", String(result.seed)]);
    return rows;
  }

  /**
   * Draws the exposures by trial.
   * @param {number[]} exposures in milliseconds
   */
  steps(exposures) {
    const plot = this.element("steps");
    plot.removeAttribute("hidden");
    plot.setAttribute("aria-label", `Exposures by trial, from ${exposures[0]} to ${exposures[exposures.length - 1]} ms`);
    const top = Math.max(...exposures, 500);
    const x = (/** @type {number} */ i) => 60 + 410 * (i / Math.max(1, exposures.length - 1));
    const y = (/** @type {number} */ ms) => 130 - 115 * (ms / top);
    for (const ms of [0, top]) {
      this.draw("line", { x1: 60, x2: 470, y1: y(ms), y2: y(ms) });
      this.draw("text", { x: 52, y: y(ms) + 4, "text-anchor": "end" }, `${ms} ms`);
    }
    this.draw("polyline", { points: exposures.map((ms, i) => `${x(i)},${y(ms)}`).join(" ") });
    this.draw("text", { x: 60, y: 152 }, "trial 1");
    this.draw("text", { x: 470, y: 152, "text-anchor": "end" }, `trial ${exposures.length}`);
  }

  /**
   * Adds a part to the drawing.
   * @param {string} kind
   * @param {Record<string, string | number>} attributes
   * @param {string} text
   */
  draw(kind, attributes, text = "") {
    const part = document.createElementNS("http://www.w3.org/2000/svg", kind);
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, String(value));
    part.textContent = text;
    this.element("steps").append(part);
  }

  /** @param {number} share */
  percent(share) {
    return `${(100 * share).toFixed(share * 1000 % 10 ? 1 : 0)}%`;
  }

  /**
   * @param {string} id
   * @param {string} text
   */
  say(id, text) {
    this.element(id).textContent = text;
  }

  /** @param {string} id */
  element(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
  }
}
