// @ts-check
// Samples over time: one slider moves all pictures of the runs that are chosen.
"use strict";

(() => {
  const PACE = 250; // milliseconds of a picture
  const at = /** @type {HTMLInputElement | null} */ (document.getElementById("at"));
  const play = document.getElementById("play");
  const output = document.getElementById("iteration");
  if (!at || !play || !output) return;

  /** @typedef {Record<string, [number, string][]>} Kinds pictures of each kind: iteration, URL */
  /** @type {Map<number, Kinds>} */
  const read = new Map();
  /** @param {number} run */
  const pictures = (run) => {
    let found = read.get(run);
    if (!found) {
      found = /** @type {Kinds} */ (JSON.parse(document.getElementById(`frames-${run}`)?.textContent ?? "{}"));
      read.set(run, found);
    }
    return found;
  };

  const images = /** @type {HTMLImageElement[]} */ ([...document.querySelectorAll("img.film")]);
  /** @type {number[]} */
  let chosen = [];
  /** @type {number[]} */
  let stops = []; // iterations at which any of them has a picture

  /** @param {HTMLImageElement} image */
  const shownIn = (image) => pictures(chosen[Number(image.dataset.place)])[image.dataset.kind ?? ""] ?? [];
  const isAtEnd = () => at.valueAsNumber >= stops.length - 1;

  const show = () => {
    const iteration = stops[at.valueAsNumber] ?? 0;
    for (const image of images) {
      const latest = shownIn(image).filter(([when]) => when <= iteration).pop();
      image.style.visibility = latest ? "visible" : "hidden";
      if (latest && image.src !== latest[1]) image.src = latest[1];
      const when = image.parentElement?.querySelector(".when");
      if (when) when.textContent = latest ? `at iteration ${latest[0].toLocaleString("en")}` : "";
    }
    output.textContent = stops.length ? `iteration ${iteration.toLocaleString("en")}` : "no pictures";
    at.setAttribute("aria-valuetext", output.textContent);
    at.dataset.kept = isAtEnd() ? "end" : String(iteration);
  };

  /** @param {number} iteration */
  const goTo = (iteration) => {
    const later = stops.findIndex((stop) => stop > iteration);
    at.value = String(Math.max(0, (later < 0 ? stops.length : later) - 1));
    show();
  };

  /** @param {number[]} runs */
  const choose = (runs) => {
    const before = !stops.length || isAtEnd() ? Infinity : stops[at.valueAsNumber];
    chosen = runs;
    stops = [...new Set(images.flatMap((image) => shownIn(image).map(([iteration]) => iteration)))];
    stops.sort((a, b) => a - b);
    at.max = String(Math.max(0, stops.length - 1));
    goTo(before);
  };

  /** @type {number | undefined} */
  let timer;
  const stop = () => {
    clearInterval(timer);
    timer = undefined;
    play.textContent = "Play";
    play.setAttribute("aria-pressed", "false");
  };
  play.addEventListener("click", () => {
    if (timer !== undefined) return stop();
    if (isAtEnd()) at.value = "0";
    show();
    play.textContent = "Pause";
    play.setAttribute("aria-pressed", "true");
    timer = setInterval(() => {
      at.stepUp();
      show();
      if (isAtEnd()) stop();
    }, PACE);
  });

  at.addEventListener("input", () => {
    stop();
    show();
  });
  at.addEventListener("restored", (event) => {
    const kept = /** @type {CustomEvent<string>} */ (event).detail;
    goTo(kept === "end" ? Infinity : Number(kept));
  });
  document.addEventListener("chosen", (event) => choose(/** @type {CustomEvent<number[]>} */ (event).detail));
  choose((document.getElementById("page")?.dataset.chosen ?? "").split(" ").map(Number));
})();
