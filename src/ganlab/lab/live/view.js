// @ts-check
// Shows what the server says of a training: everything on the page besides the plots.
"use strict";

/**
 * @typedef {{kind: string, text: string, step: number}} Line
 * @typedef {{iteration: number, ailment: string, text: string}} Verdict
 * @typedef {{numbers: Record<string, string>, failure: string | null, ailing: string[],
 *   verdicts: Verdict[]}} Side
 * @typedef {{name: string, title: string, sentences: string[], advice: string, cure: string}} Stop
 * @typedef {{frame: number, key: string, problems: string[], charts: string[], iterations: number,
 *   playing: "" | "iterations" | "lines", speed: number, pace: number, kept: number[],
 *   lines: Line[], line: number | null, url: string, link: string, commands: string[],
 *   repeatable: boolean, layers: string[], dim: number, choices: Record<string, string>[],
 *   sides: Side[], titles: string[], stop: string, cured: boolean}} View
 */

const LiveView = (() => {
  /** @param {string} id */
  function by(id) {
    return /** @type {HTMLElement} */ (document.getElementById(id));
  }

  /** @param {string} id */
  function field(id) {
    return /** @type {HTMLInputElement} */ (by(id));
  }

  /**
   * @template {HTMLElement} T
   * @param {string} selector
   * @returns {T[]}
   */
  function all(selector) {
    return /** @type {T[]} */ ([...document.querySelectorAll(selector)]);
  }

  /**
   * @param {string} tag
   * @param {string} text
   * @param {string} [name] of its class
   */
  function element(tag, text, name = "") {
    const made = document.createElement(tag);
    made.textContent = text;
    made.className = name;
    return made;
  }

  /**
   * Changes a text only if it differs: what is announced or selected stays untouched.
   * @param {HTMLElement} where
   * @param {string} text
   */
  function say(where, text) {
    if (where.textContent !== text) where.textContent = text;
  }

  /**
   * Replaces an element's children if they say something else than before.
   * @param {HTMLElement} where
   * @param {unknown} of what they are made of
   * @param {() => HTMLElement[]} make
   */
  function fill(where, of, make) {
    const key = JSON.stringify(of);
    if (where.dataset.of === key) return;
    where.dataset.of = key;
    where.replaceChildren(...make());
  }

  /** @param {HTMLInputElement | HTMLSelectElement} input @param {string} value */
  function put(input, value) {
    if (input.getAttribute("aria-invalid") === "true" || input === document.activeElement) return;
    if (input.value !== value) input.value = value;
  }

  /** @type {Stop[]} */
  const stops = JSON.parse(document.getElementById("tour-stops")?.textContent || "[]");

  /** @param {View} view */
  function show(view) {
    fill(by("problems"), view.problems, () => view.problems.map((text) => element("div", text)));
    by("problems").hidden = !view.problems.length;
    Object.assign(by("stage").dataset, { dim: view.dim, sides: view.sides.length });
    showPlaying(view);
    showLines(view);
    showChoices(view);
    view.sides.forEach((side, at) => {
      const where = by(["left", "right"][at]);
      say(/** @type {HTMLElement} */ (where.querySelector(".title")), view.titles[at] ?? "");
      showSide(side, where);
    });
    showLayers(view.layers, view.dim);
    for (const chart of all("[data-chart]")) {
      chart.hidden = !view.charts.includes(chart.dataset.chart ?? "");
    }
    by("dashes").hidden = view.sides.length < 2;
    showStop(view);
    say(by("command"), view.commands.join("\n\n"));
    say(by("repeats"), view.repeatable
      ? "This command trains the same weights, bit for bit:"
      : "You have intervened while it ran, so no command repeats it exactly. This one trains with the choices in force now:");
  }

  /** @param {string[]} layers @param {number} dim of the data */
  function showLayers(layers, dim) {
    for (const best of all(".best")) best.hidden = dim === 1 || !layers.includes("optimal");
    for (const box of all("[data-layer]")) {
      /** @type {HTMLInputElement} */ (box).checked = layers.includes(box.dataset.layer ?? "");
    }
  }

  /** @param {View} view */
  function showPlaying(view) {
    say(by("play"), view.playing === "iterations" ? "Pause" : "Play");
    say(by("slow"), view.playing === "lines" ? "Pause" : "Slow motion");
    put(/** @type {any} */ (by("speed")), String(view.speed));
    const last = view.kept[view.kept.length - 1];
    const past = view.iterations < last;
    say(by("iterations"), past ? `${view.iterations} of ${last}` : String(view.iterations));
    by("past").hidden = !past;
    const slider = field("history");
    slider.max = String(view.kept.length - 1);
    slider.setAttribute("aria-valuetext", `iteration ${view.iterations}`);
    const place = view.kept.filter((kept) => kept <= view.iterations).length - 1;
    if (!slider.matches(":active")) slider.value = String(place);
    if (field("pace") !== document.activeElement) field("pace").value = String(view.pace);
    say(by("pace-shown"), view.pace.toFixed(1));
  }

  /** @param {View} view */
  function showLines(view) {
    const k = Math.max(...view.lines.map((line) => line.step));
    /** @param {Line} line */
    const key = (line) => `${line.kind}${Math.min(line.step, 1)}`;
    const lines = view.lines.filter((line) => line.step <= 1);
    fill(by("lines"), lines.concat(/** @type {any} */ (k)), () => {
      const first = lines.filter((line) => line.kind === "ahead");
      const ofD = lines.filter((line) => line.step === 1);
      const ofG = lines.filter((line) => line.step === 0 && line.kind !== "ahead");
      /** @param {Line[]} some */
      const list = (some) => {
        const made = document.createElement("ol");
        for (const line of some) {
          const item = element("li", line.text);
          item.dataset.line = key(line);
          made.append(item);
        }
        return made;
      };
      const when = element("p", "", "when");
      when.id = "step";
      return [...(first.length ? [list(first)] : []), when, list(ofD), element("p", "then:", "when"), list(ofG)];
    });
    const lit = view.line === null ? null : view.lines[view.line];
    const now = lit && lit.step ? `, now ${lit.step}` : "";
    say(by("step"), k === 1 ? "for k = 1 step:" : `for k = ${k} steps${now}:`);
    for (const item of all("#lines li")) {
      const on = lit !== null && item.dataset.line === key(lit);
      item.classList.toggle("lit", on);
      if (on) item.setAttribute("aria-current", "step");
      else item.removeAttribute("aria-current");
    }
  }

  /** @returns {number} the side whose choices the controls show */
  function side() {
    const two = by("stage").dataset.sides === "2";
    return two && /** @type {HTMLInputElement} */ (all("[name=which]")[1]).checked ? 1 : 0;
  }

  /** @param {View} view */
  function showChoices(view) {
    const two = view.sides.length === 2;
    field("beside").checked = two;
    by("which").hidden = !two;
    const choices = view.choices[side()];
    for (const input of all("[data-choice]")) {
      put(/** @type {HTMLInputElement} */ (input), choices[input.dataset.choice ?? ""]);
    }
    const chosen = choices.regularizers ? choices.regularizers.split(",").map((one) => one.split(":")) : [];
    say(by("regularizers-shown"), chosen.map(([name, strength]) => `${name} ${Number(strength)}`).join(", ") || "none");
    for (const box of all("[data-regularizer]")) {
      const found = chosen.find(([name]) => name === box.dataset.regularizer);
      /** @type {HTMLInputElement} */ (box).checked = found !== undefined;
      const strength = all(`[data-strength="${box.dataset.regularizer}"]`)[0];
      if (found) put(/** @type {HTMLInputElement} */ (strength), String(Number(found[1])));
    }
  }

  /**
   * @param {Side} side
   * @param {HTMLElement} where
   */
  function showSide(side, where) {
    /** @param {string} name */
    const part = (name) => /** @type {HTMLElement} */ (where.querySelector(name));
    const names = Object.keys(side.numbers);
    fill(part(".numbers"), names, () => names.map((name) => {
      const pair = document.createElement("div");
      pair.append(element("dt", name), element("dd", ""));
      return pair;
    }));
    const values = [...part(".numbers").querySelectorAll("dd")];
    values.forEach((value, at) => say(value, side.numbers[names[at]]));
    fill(part(".verdicts"), [side.verdicts, side.failure], () => {
      const items = side.verdicts.map((verdict) => {
        const item = document.createElement("li");
        item.dataset.ailment = verdict.ailment;
        const rest = verdict.text.slice(verdict.ailment.length + 2);
        item.append(element("b", `${verdict.ailment}, at iteration ${verdict.iteration}`), element("span", rest));
        return item;
      });
      return side.failure ? [...items, element("li", `It cannot go on: ${side.failure}`)] : items;
    });
    for (const item of part(".verdicts").querySelectorAll("li")) {
      const over = item.dataset.ailment !== undefined && !side.ailing.includes(item.dataset.ailment);
      item.classList.toggle("over", over && !side.failure);
    }
  }

  /** @param {View} view */
  function showStop(view) {
    for (const button of all("[data-tour]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tour === view.stop));
    }
    const at = stops.findIndex((stop) => stop.name === view.stop);
    by("stop").hidden = at < 0;
    if (at < 0) return;
    const stop = stops[at];
    say(by("stop-title"), stop.title);
    say(by("stop-text"), stop.sentences.join(" "));
    say(by("stop-advice"), stop.advice);
    by("cure").hidden = !stop.cure;
    say(by("cure"), view.cured ? `Cured: ${stop.cure}` : `The cure: ${stop.cure}`);
    /** @type {HTMLButtonElement} */ (by("cure")).disabled = view.cured;
    /** @type {HTMLButtonElement} */ (by("before")).disabled = at === 0;
    /** @type {HTMLButtonElement} */ (by("after")).disabled = at === stops.length - 1;
  }

  return { by, field, all, say, side, stops, show, showSide, showLayers };
})();
