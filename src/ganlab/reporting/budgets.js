// @ts-check
// The expected best of k runs, a line for each value of the chosen setting.
"use strict";

(() => {
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8f96"];
  const DASHES = ["solid", "dashed"]; // of the first seven lines, and of more
  const grouping = /** @type {HTMLSelectElement} */ (document.getElementById("grouping"));
  const groups = /** @type {Record<string, {label: string, k: number[], best: number[]}[]>} */ (
    JSON.parse(document.getElementById("budgets")?.textContent ?? "{}")
  );

  const draw = () => {
    const plot = /** @type {any} */ (window).Bokeh.documents[0]?.get_model_by_name("budgets");
    if (!plot) return;
    const lines = groups[grouping.value];
    plot.renderers[0].data_source.data = {
      xs: lines.map((line) => line.k),
      ys: lines.map((line) => line.best.map((value) => value ?? NaN)),
      color: lines.map((_, i) => COLOURS[i % COLOURS.length]),
      dash: lines.map((_, i) => DASHES[Math.floor(i / COLOURS.length) % DASHES.length]),
      label: lines.map((line) => line.label),
    };
  };

  grouping.addEventListener("change", draw);
  document.addEventListener("plotsready", draw);
})();
