// @ts-check
// Parallel coordinates follow the filters of the table, and a box over an axis sets its filter.
"use strict";

(() => {
  const FAINT = 0.05;
  const CLEAR = 0.75;
  const axes = /** @type {[string, string, number, number][]} name, kind, value at both ends */ (
    JSON.parse(document.getElementById("axes")?.textContent ?? "[]")
  );
  /** @type {Set<number> | null} */
  let left = null;

  /** @type {any} */
  let source;
  /** @type {any} */
  let texts;
  const fade = () => {
    if (!source || !left) return;
    const runs = left;
    const alpha = source.data.label.map((/** @type {string} */ _, /** @type {number} */ run) => (runs.has(run) ? CLEAR : FAINT));
    source.data = { ...source.data, alpha };
  };

  /**
   * The value at a place in 0..1 on an axis.
   * @param {[string, string, number, number]} axis
   * @param {number} place
   */
  const value = ([, kind, low, high], place) =>
    kind === "log" ? low * (high / low) ** place : low + (high - low) * place;

  /**
   * @param {HTMLFieldSetElement} fieldset
   * @param {[string, string, number, number]} axis
   * @param {number} from
   * @param {number} to
   */
  const keep = (fieldset, axis, from, to) => {
    const [least, most] = [value(axis, from), value(axis, to)];
    const boxes = /** @type {HTMLInputElement[]} */ ([...fieldset.querySelectorAll("input[data-value]")]);
    const unknown = /** @type {HTMLInputElement | null} */ (fieldset.querySelector(".unknown"));
    if (unknown) unknown.checked = false;
    boxes.forEach((box, index) => {
      const own = axis[1] === "choice" ? index : Number(box.dataset.value);
      box.checked = least <= own && own <= most;
    });
    if (boxes.length) return;
    const digits = (/** @type {number} */ number) => String(Number(number.toPrecision(4)));
    const inputs = [".least", ".most"].map((name) => /** @type {HTMLInputElement} */ (fieldset.querySelector(name)));
    inputs[0].value = digits(least);
    inputs[1].value = digits(most);
  };

  /** Gives the texts beside the axes the colours of the page; lines do not cross them. */
  const paint = () => {
    const style = getComputedStyle(document.documentElement);
    texts?.setv({
      text_color: style.getPropertyValue("--text").trim(),
      background_fill_color: style.getPropertyValue("--ground").trim(),
      background_fill_alpha: 0.85,
    });
  };

  document.addEventListener("themechange", paint);
  document.addEventListener("filtered", (event) => {
    left = /** @type {CustomEvent<Set<number>>} */ (event).detail;
    fade();
  });
  document.addEventListener("plot", (added) => {
    const plot = /** @type {CustomEvent<any>} */ (added).detail;
    if (plot.name !== "coordinates") return;
    source = plot.renderers[0].data_source;
    texts = plot.renderers.find((/** @type {any} */ one) => one.name === "texts").glyph;
    paint();
    plot.on_event("selectiongeometry", (/** @type {any} */ event) => {
      const { x0, x1, y0, y1 } = event.geometry;
      if (!event.final) return;
      axes.forEach((axis, place) => {
        if (place < Math.min(x0, x1) || place > Math.max(x0, x1)) return;
        const fieldsets = /** @type {HTMLFieldSetElement[]} */ ([...document.querySelectorAll("#filters fieldset")]);
        const fieldset = fieldsets.find((one) => one.dataset.name === axis[0]);
        if (fieldset) keep(fieldset, axis, Math.max(0, Math.min(y0, y1)), Math.min(1, Math.max(y0, y1)));
      });
      document.getElementById("filters")?.dispatchEvent(new Event("input"));
    });
    fade();
  });
})();
