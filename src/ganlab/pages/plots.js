// @ts-check
// Gives Bokeh's plots the colours of the page, and again when its theme changes or a plot is added.
"use strict";

(() => {
  /** @returns {any[]} none before the library has run */
  const documents = () => /** @type {any} */ (window).Bokeh?.documents ?? [];

  const paint = () => {
    const style = getComputedStyle(document.documentElement);
    /** @param {string} name */
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const [text, quiet, line, ground, raised] = ["text", "quiet", "line", "ground", "raised"].map(colour);
    /** @type {[RegExp, object][]} What each kind of model has, by the end of its name. */
    const looks = [
      [/^(Figure|Plot)$/, { background_fill_color: ground, border_fill_color: ground, outline_line_color: line }],
      [/Axis$/, {
        axis_label_text_color: quiet, major_label_text_color: quiet, axis_line_color: line,
        major_tick_line_color: line, minor_tick_line_color: null,
      }],
      [/^Grid$/, { grid_line_color: line, grid_line_alpha: 0.6 }],
      [/^(Title|Label)$/, { text_color: text }],
      [/^Legend$/, { label_text_color: text, background_fill_color: raised, border_line_color: line }],
      [/^ColorBar$/, { major_label_text_color: quiet, title_text_color: quiet, background_fill_color: ground }],
    ];
    for (const doc of documents()) {
      for (const model of doc._all_models.values()) {
        const look = looks.find(([kind]) => kind.test(model.type));
        if (look) model.setv(look[1]);
      }
    }
  };

  document.addEventListener("themechange", paint);
  document.addEventListener("plot", paint);
  const wait = () => (documents().length && document.querySelector(".bk-Figure, .bk-Row, .bk-Column, [data-root-id]")
    ? paint() : requestAnimationFrame(wait));
  if (document.querySelector("[data-root-id]")) wait(); // plots of `embedded`
})();
