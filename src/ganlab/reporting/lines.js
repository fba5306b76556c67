// @ts-check
// Draws lines in a plot ("lines"), with their legend below it as a list, which may be there before the plot.
"use strict";

(() => {
  /**
   * @typedef {{label: string, color: string, dash: "solid" | "dashed", xs: number[], ys: number[]}} Line
   */

  /**
   * @param {any} plot
   * @param {Line[]} lines
   */
  const fill = (plot, lines) => {
    plot.renderers[0].data_source.data = {
      xs: lines.map((line) => line.xs),
      ys: lines.map((line) => line.ys),
      color: lines.map((line) => line.color),
      dash: lines.map((line) => line.dash),
      label: lines.map((line) => line.label),
    };
  };

  /** @param {Line} line */
  const entry = (line) => {
    const item = document.createElement("li");
    const sample = document.createElement("span");
    sample.className = "sample";
    sample.style.borderTop = `2px ${line.dash} ${line.color}`;
    item.append(sample, line.label);
    return item;
  };

  document.addEventListener("lines", (event) => {
    const { name, plot, lines } = /** @type {CustomEvent<{name: string, plot: any, lines: Line[]}>} */ (event).detail;
    if (plot) fill(plot, lines);
    const legends = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".legend"));
    for (const legend of legends) {
      if (legend.dataset.of === name) legend.replaceChildren(...lines.map(entry));
    }
  });
})();
