// @ts-check
// Plays a recorded run: puts the frames of its tape into the plots.
"use strict";

(() => {
  const { by, all, field, say, showSide, showMeanings, showLayers } = LiveView;
  /** @type {{iterations: number[], reports: Side[][], layers: string[], of: Record<string, string>}} */
  const tape = JSON.parse(by("tape").textContent || "");
  const last = tape.iterations.length - 1;
  const dim = Number(by("stage").dataset.dim);
  const EACH = 100; // milliseconds
  let layers = tape.layers;
  let frame = 0;
  let timer = 0;

  /** @returns {any[]} */
  const models = () => [.../** @type {any} */ (window).Bokeh.documents[0]._all_models.values()];
  /** @type {any[]} */
  let sources = [];
  /** @type {any} */
  let now = null;

  const draw = () => {
    for (const source of sources) {
      const recorded = source.tags[0];
      const seen = layers.includes(tape.of[source.name.split(" ")[1]]);
      /** @type {Record<string, unknown>} */
      const data = {};
      for (const column of recorded.columns()) {
        const values = recorded.get_column(column);
        data[column] = seen ? values[Math.min(frame, values.length - 1)] : [];
      }
      source.data = data;
    }
    now.location = tape.iterations[frame];
    tape.reports[frame].forEach((report, at) => showSide(report, by(["left", "right"][at])));
    showMeanings(tape.reports[frame]);
    showLayers(layers, dim);
    say(by("iterations"), `${tape.iterations[frame]} of ${tape.iterations[last]}`);
    field("history").value = String(frame);
    field("history").setAttribute("aria-valuetext", `iteration ${tape.iterations[frame]}`);
  };

  /** @param {number} to */
  const go = (to) => {
    frame = Math.max(0, Math.min(last, to));
    draw();
  };

  const pause = () => {
    clearInterval(timer);
    timer = 0;
    say(by("play"), "Play");
  };

  const play = () => {
    if (frame === last) go(0);
    say(by("play"), "Pause");
    timer = window.setInterval(() => {
      go(frame + 1);
      if (frame === last) pause();
    }, EACH);
  };

  by("play").addEventListener("click", () => (timer ? pause() : play()));
  by("back").addEventListener("click", () => go(frame - 1));
  by("on").addEventListener("click", () => go(frame + 1));
  document.addEventListener("keydown", (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    if (event.key !== " " || target.closest("input, button, summary")) return; // Space is theirs
    by("play").click();
    event.preventDefault();
  });
  by("history").addEventListener("input", () => go(Number(field("history").value)));
  for (const box of all("[data-layer]")) {
    box.addEventListener("change", () => {
      const name = box.dataset.layer ?? "";
      const others = layers.filter((layer) => layer !== name);
      layers = /** @type {HTMLInputElement} */ (box).checked ? [...others, name] : others;
      draw();
    });
  }

  const begin = () => {
    if (!(/** @type {any} */ (window).Bokeh.documents.length)) return requestAnimationFrame(begin);
    sources = models().filter((model) => model.type === "ColumnDataSource" && model.tags.length);
    now = models().find((model) => model.type === "Span");
    return go(0);
  };
  begin();
})();
