// @ts-check
// Shows what the server says of a training: everything on the page besides the plots.
"use strict";

/**
 * @typedef {{kind: string, text: string, step: number}} Line
 * @typedef {{iteration: number, ailment: string, text: string}} Verdict
 * @typedef {{name: string, label: string, text: string}} Measure
 * @typedef {{numbers: Measure[], failure: string | null, ailing: string[],
 *   verdicts: Verdict[]}} Side
 * @typedef {{name: string, title: string, sentences: string[], advice: string, number: string,
 *   after: string, cure: string}} Stop
 * @typedef {{text: string, sentences: string[]}} Refusal
 * @typedef {{frame: number, key: string, problems: string[], answered: number,
 *   refused: Record<string, Refusal>, scales: string[], charts: string[], iterations: number,
 *   playing: "" | "iterations" | "lines", speed: number, pace: number, kept: number[],
 *   lines: Line[][], line: (number | null)[], url: string, link: string, commands: string[],
 *   repeatable: boolean, layers: string[], dim: number, choices: Record<string, string>[],
 *   sides: Side[], titles: string[], stop: string, cured: boolean, misread: boolean,
 *   doubts: string[][]}} View
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

  /** @type {View | null} */
  let latest = null;

  /**
   * Shows a value in a field, unless somebody types there or the server has yet to answer it.
   * @param {HTMLInputElement | HTMLSelectElement} input
   * @param {string} value
   */
  function put(input, value) {
    if (waits(input) || input.dataset.typed !== undefined) return;
    if (input.value !== value) input.value = value;
  }

  /** @param {HTMLElement} input @returns {boolean} whether the server has yet to answer what was chosen there */
  function waits(input) {
    return Number(input.dataset.wish ?? 0) > (latest?.answered ?? 0);
  }

  /** @type {Stop[]} */
  const stops = JSON.parse(document.getElementById("tour-stops")?.textContent || "[]");

  /** @param {View} view */
  function show(view) {
    const turned = latest?.stop === view.stop && latest.sides.length !== view.sides.length;
    latest = view;
    const place = by("beside").getBoundingClientRect().top;
    fill(by("problems"), view.problems, () => view.problems.map((text) => element("div", text)));
    by("problems").hidden = !view.problems.length;
    const scales = [...new Set(view.scales)].join(" ");
    Object.assign(by("stage").dataset, { dim: view.dim, sides: view.sides.length, stop: view.stop, scales });
    showPlaying(view);
    showLines(view);
    showChoices(view);
    view.sides.forEach((side, at) => {
      const where = by(["left", "right"][at]);
      say(/** @type {HTMLElement} */ (where.querySelector(".title")), view.titles[at] ?? "");
      showSide(side, where);
    });
    showMeanings(view.sides);
    showLayers(view.layers, view.dim);
    for (const chart of all("[data-chart]")) {
      chart.hidden = !view.charts.includes(chart.dataset.chart ?? "");
    }
    by("dashes").hidden = view.sides.length < 2;
    showStop(view);
    say(by("command"), view.commands.join("\n\n"));
    say(by("holds"), view.repeatable
      ? "The address of this page holds its state."
      : "The address of this page holds the choices in force, but not what you did while it ran.");
    say(by("repeats"), view.repeatable
      ? "This command trains the same weights, bit for bit:"
      : "You have intervened while it ran, so no command repeats it exactly. This one trains with the choices in force now:");
    // Where one picture becomes two, the switch stays under the finger.
    if (turned) window.scrollBy(0, by("beside").getBoundingClientRect().top - place);
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
    say(by("play"), view.playing ? "Pause" : "Play");
    by("slow").setAttribute("aria-pressed", String(view.playing === "lines"));
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
    const own = view.lines[side()];
    const k = Math.max(...own.map((line) => line.step));
    /** @param {Line} line */
    const key = (line) => `${line.kind}${Math.min(line.step, 1)}`;
    const lines = own.filter((line) => line.step <= 1);
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
    const at = view.line[side()];
    const lit = at === null ? null : own[at];
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
    by("choices").dataset.sides = String(view.sides.length);
    for (const name of all("[data-title]")) say(name, view.titles[Number(name.dataset.title)] ?? "");
    for (const whose of all("[data-side]")) say(whose, ["left", "right"][side()]);
    all(".side").forEach((one, at) => one.classList.toggle("chosen", two && at === side()));
    const choices = view.choices[side()];
    const doubts = view.doubts[side()];
    say(by("doubts"), doubts.join(" "));
    by("doubts").hidden = !doubts.length;
    /** @param {string} name */
    const refusal = (name) => /** @type {Refusal | undefined} */ (view.refused[`${side()} ${name}`]);
    for (const where of all("[data-wrong]")) {
      const name = where.dataset.wrong ?? "";
      showWrong(where, refusal(name), name === "regularizers" ? spelled(choices[name]) : choices[name]);
    }
    for (const input of all("[data-choice]")) {
      const name = input.dataset.choice ?? "";
      mark(input, refusal(name) !== undefined, `wrong-${name}`);
      put(/** @type {HTMLInputElement} */ (input), refusal(name)?.text ?? choices[name]);
    }
    say(by("regularizers-shown"), spelled(choices.regularizers));
    if (waits(by("regularizers"))) return; // boxes of an older answer would undo what has been ticked since
    const wrong = refusal("regularizers");
    const chosen = pairs(wrong?.text ?? choices.regularizers);
    for (const box of all("[data-regularizer]")) {
      const found = chosen.find(([name]) => name === box.dataset.regularizer);
      /** @type {HTMLInputElement} */ (box).checked = found !== undefined;
      const strength = all(`[data-strength="${box.dataset.regularizer}"]`)[0];
      mark(strength, found !== undefined && wrong !== undefined, "wrong-regularizers");
      if (found) put(/** @type {HTMLInputElement} */ (strength), found[1] && String(Number(found[1])));
    }
  }

  /** @param {string} listed "r1:10,r2:1" @returns {string[][]} name and strength of each */
  function pairs(listed) {
    return listed ? listed.split(",").map((one) => one.split(":")) : [];
  }

  /** @param {string} listed regularizers @returns {string} the same, to be read */
  function spelled(listed) {
    return pairs(listed).map(([name, strength]) => `${name} ${Number(strength)}`).join(", ") || "none";
  }

  /** @param {HTMLElement} input @param {boolean} wrong @param {string} why the id of what says it */
  function mark(input, wrong, why) {
    if (wrong === (input.getAttribute("aria-invalid") === "true")) return;
    if (wrong) {
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", why);
    } else {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
  }

  /**
   * @param {HTMLElement} where
   * @param {Refusal | undefined} refusal
   * @param {string} force the value in force; "": not said
   */
  function showWrong(where, refusal, force) {
    where.hidden = refusal === undefined;
    const text = refusal ? refusal.sentences.join(" ") : "";
    say(/** @type {HTMLElement} */ (where.firstElementChild), text && force ? `${text}. In force: ${force}.` : text);
  }

  /**
   * @param {Side} side
   * @param {HTMLElement} where
   */
  function showSide(side, where) {
    /** @param {string} name */
    const part = (name) => /** @type {HTMLElement} */ (where.querySelector(name));
    const labels = side.numbers.map((one) => one.label);
    fill(part(".numbers"), labels, () => labels.map((label) => {
      const pair = document.createElement("div");
      pair.append(element("dt", label), element("dd", ""));
      return pair;
    }));
    const values = [...part(".numbers").querySelectorAll("dd")];
    values.forEach((value, at) => say(value, side.numbers[at].text));
    fill(part(".verdicts"), [side.verdicts, side.failure], () => {
      const items = side.verdicts.map((verdict) => {
        const item = document.createElement("li");
        item.dataset.ailment = verdict.ailment;
        const found = `${verdict.ailment}, at iteration ${verdict.iteration}`;
        item.append(element("b", found), element("span", verdict.text));
        return item;
      });
      return side.failure ? [...items, element("li", `It cannot go on: ${side.failure}`)] : items;
    });
    for (const item of part(".verdicts").querySelectorAll("li")) {
      const over = item.dataset.ailment !== undefined && !side.ailing.includes(item.dataset.ailment);
      item.classList.toggle("over", over && !side.failure);
    }
  }

  /** @param {Side[]} sides */
  function showMeanings(sides) {
    for (const one of all("[data-meaning]")) {
      one.hidden = !sides[0].numbers.some((number) => number.name === one.dataset.meaning);
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
    say(by("stop-text"), view.cured ? stop.after : stop.sentences[0]);
    say(by("stop-why"), [...stop.sentences.slice(1), stop.advice].join(" "));
    showNumber(view.sides, stop.number);
    by("cure").hidden = !stop.cure;
    say(by("cure"), view.cured ? `Cured: ${stop.cure}` : `Cure: ${stop.cure}`);
    /** @type {HTMLButtonElement} */ (by("cure")).disabled = view.cured;
    /** @type {HTMLButtonElement} */ (by("before")).disabled = at === 0;
    /** @type {HTMLButtonElement} */ (by("after")).disabled = at === stops.length - 1;
  }

  /** @param {Side[]} sides @param {string} name of the measure that a stop is about */
  function showNumber(sides, name) {
    const found = sides.map((side) => side.numbers.find((one) => one.name === name));
    const texts = found.map((one) => one?.text ?? "");
    const label = found[0]?.label ?? "";
    fill(by("stop-number"), [label, texts], () => [
      element("span", `${label}: `),
      element("b", texts.length === 1 ? texts[0] : `left ${texts[0]}, right ${texts[1]}`),
    ]);
  }

  return { by, field, all, say, side, stops, show, showSide, showMeanings, showLayers };
})();
