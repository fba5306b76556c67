// @ts-check
// Draws lines in a plot ("lines"), with dots where a line shows nothing, and with their legend below it as a list, which may be there before the plot.
"use strict";

(() => {
  /**
   * @typedef {{label: string, color: string, dash: "solid" | "dashed", xs: number[], ys: number[]}} Line
   */

  const FEW = 3; // points of a line that has a dot at each

  /**
   * The indices of points that have a dot: those without a neighbour, and those of a short line.
   * @param {Line} line
   */
  const dotted = ({ xs, ys }) => {
    const known = ys.map((y, i) => Number.isFinite(y) && Number.isFinite(xs[i]));
    const few = known.filter(Boolean).length <= FEW;
    return [...ys.keys()].filter((i) => known[i] && (few || (!known[i - 1] && !known[i + 1])));
  };

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
    const dots = lines.flatMap((line) => dotted(line).map((i) => ({ line, x: line.xs[i], y: line.ys[i] })));
    plot.renderers[1].data_source.data = {
      x: dots.map((dot) => dot.x),
      y: dots.map((dot) => dot.y),
      color: dots.map((dot) => dot.line.color),
      label: dots.map((dot) => dot.line.label),
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
