// @ts-check
// Fills the plots of readings with the lines of the runs that are chosen, over the chosen axis.
"use strict";

(() => {
  const axis = /** @type {HTMLSelectElement | null} */ (document.getElementById("axis"));
  if (!axis) return;
  const PLAYERS = new Map([["d", "#0072b2"], ["g", "#d55e00"], ["D(x)", "#0072b2"], ["D(G(z))", "#d55e00"]]);
  const OTHERS = ["#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#8a8f96", "#8b6fc9", "#a0713c"];
  const DASHES = ["solid", "dashed"]; // of the first and the second run
  const SIDES = ["A", "B"];
  const PREFIX = "curves:";

  /** @typedef {{x: number[][], y: Record<string, [number, (number | null)[]]>}} Readings */
  /** @type {Map<number, Readings>} */
  const read = new Map();
  /** @param {number} run */
  const readings = (run) => {
    let found = read.get(run);
    if (!found) {
      found = /** @type {Readings} */ (JSON.parse(document.getElementById(`curves-${run}`)?.textContent ?? '{"x":[],"y":{}}'));
      read.set(run, found);
    }
    return found;
  };

  /**
   * @param {number[]} xs ascending
   * @param {(number | null)[]} ys
   * @param {number} x
   */
  const interpolated = (xs, ys, x) => {
    let low = 0;
    let high = xs.length - 1;
    if (high < 0) return NaN;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (xs[middle] < x) low = middle + 1;
      else high = middle;
    }
    const right = ys[low] ?? NaN;
    if (low === 0 || xs[low] <= x) return right;
    const left = ys[low - 1] ?? NaN;
    return left + ((right - left) * (x - xs[low - 1])) / (xs[low] - xs[low - 1]);
  };

  /**
   * @param {Readings} known
   * @param {string} name
   */
  const places = (known, name) => {
    const iterations = known.x[known.y[name][0]];
    const scale = known.y[axis.value];
    if (axis.value === "iterations" || !scale) return iterations;
    return iterations.map((one) => interpolated(known.x[scale[0]], scale[1], one));
  };

  /** @param {string[]} names */
  const colours = (names) => {
    let others = 0;
    return new Map(names.map((name) => {
      const last = name.slice(name.lastIndexOf("/") + 1);
      return [name, PLAYERS.get(last) ?? OTHERS[others++ % OTHERS.length]];
    }));
  };

  /** @type {number[]} */
  let chosen = (document.getElementById("page")?.dataset.chosen ?? "").split(" ").map(Number);

  const groups = /** @type {Record<string, string[]>} kind -> columns */ (
    JSON.parse(document.getElementById("groups")?.textContent ?? "{}")
  );
  /** @type {Map<string, any>} by kind */
  const plots = new Map();

  /**
   * A panel without readings of the chosen runs is hidden.
   * @param {string} kind
   * @param {boolean} empty
   */
  const hide = (kind, empty) => {
    const legends = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(".legend"));
    const legend = [...legends].find((one) => one.dataset.of === PREFIX + kind);
    const panel = /** @type {HTMLElement | null | undefined} */ (legend?.closest("figure"));
    if (panel) panel.hidden = empty;
  };

  /** @param {string} kind */
  const draw = (kind) => {
    const shades = colours(groups[kind]);
    const lines = chosen.flatMap((run, place) => {
      const known = readings(run);
      return groups[kind].filter((name) => known.y[name]).map((name) => ({
        label: chosen.length > 1 ? `${SIDES[place]} ${name}` : name,
        color: shades.get(name) ?? OTHERS[0],
        dash: DASHES[place],
        xs: places(known, name),
        ys: known.y[name][1].map((value) => value ?? NaN),
      })).filter(({ xs, ys }) => ys.some((y, i) => Number.isFinite(y) && Number.isFinite(xs[i])));
    });
    hide(kind, !lines.length);
    if (!lines.length) return;
    const plot = plots.get(kind);
    document.dispatchEvent(new CustomEvent("lines", { detail: { name: PREFIX + kind, plot, lines } }));
    const below = plot?.below.find((/** @type {any} */ one) => one.type.endsWith("Axis"));
    if (below) below.axis_label = axis.selectedOptions[0].text;
  };
  const drawAll = () => Object.keys(groups).forEach(draw);

  document.addEventListener("plot", (event) => {
    const plot = /** @type {CustomEvent<any>} */ (event).detail;
    if (!plot.name.startsWith(PREFIX)) return;
    const kind = plot.name.slice(PREFIX.length);
    plots.set(kind, plot);
    draw(kind);
  });
  document.addEventListener("chosen", (event) => {
    chosen = /** @type {CustomEvent<number[]>} */ (event).detail;
    drawAll();
  });
  axis.addEventListener("change", drawAll);
  drawAll();
})();
