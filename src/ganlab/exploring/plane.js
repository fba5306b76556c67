// @ts-check
// The map: images over two directions, in which a click or the arrow keys move the point.
"use strict";

class Plane {
  /** @param {Explorer} explorer */
  constructor(explorer) {
    this.explorer = explorer;
    this.canvas = element("map", HTMLCanvasElement);
    this.frame = element("plane", HTMLElement);
    this.marker = element("marker", HTMLElement);
    this.said = element("plane-said", HTMLOutputElement);
    this.axes = ["across", "up"].map((name) => element(name, HTMLSelectElement));
    const [, height, width] = explorer.about.image;
    this.canvas.width = Plane.SIDE * width;
    this.canvas.height = Plane.SIDE * height;
    this.drawn = "";
    this.seen = false;
    new IntersectionObserver(([entry]) => {
      this.seen = entry.isIntersecting;
      this.refresh();
    }).observe(this.frame);
    this.chosen = this.directions;
    for (const axis of this.axes) axis.addEventListener("change", () => this.choose());
    this.frame.addEventListener("pointerdown", (event) => this.point(event));
    this.frame.addEventListener("pointermove", (event) => {
      if (event.buttons && event.pointerType === "mouse") this.point(event);
    });
    this.frame.addEventListener("keydown", (event) => this.step(event));
    explorer.onChange(() => this.refresh());
  }

  /** The directions across and up. */
  get directions() {
    return this.axes.map((axis) => Number(axis.value));
  }

  /** Two different directions: who asks for the other axis's direction swaps both. */
  choose() {
    const [across, up] = this.directions;
    if (across === up) this.axes.forEach((axis, i) => (axis.value = String(this.chosen[1 - i])));
    this.chosen = this.directions;
    this.refresh();
  }

  /** The marker follows the point; the images are drawn anew if they are of another plane. */
  refresh() {
    const { moves } = this.explorer.point, [across, up] = this.directions;
    const share = (/** @type {number} */ move) => 50 + (50 * move) / Plane.EDGE;
    this.marker.style.left = `${share(moves[across])}%`;
    this.marker.style.top = `${share(-moves[up])}%`;
    this.said.value = `${moves[across].toFixed(2)} across, ${moves[up].toFixed(2)} up`;
    const still = this.explorer.point.with({ moves: moves.map((m, k) => (k === across || k === up ? 0 : m)) });
    const plane = `${still.link(this.explorer.about.codes)} ${across} ${up}`;
    if (!this.seen || plane === this.drawn) return;
    this.drawn = plane;
    this.explorer.space.desk.drop(Lane.MAP);
    this.draw(still, plane).catch((error) => complain(`The map cannot be drawn: ${error}`));
  }

  /**
   * Draws the plane of a point, from the middle outwards, until another plane is wanted.
   * @param {Point} point
   * @param {string} plane
   */
  async draw(point, plane) {
    const { space, about } = this.explorer, [across, up] = this.directions;
    const origin = await space.origin(point, Lane.MAP);
    const tiles = [...Array(Plane.SIDE ** 2).keys()].map((i) => {
      const column = i % Plane.SIDE, row = Math.floor(i / Plane.SIDE);
      return { column, row, x: Plane.at(column), y: -Plane.at(row) };
    });
    tiles.sort((a, b) => Math.hypot(a.x, a.y) - Math.hypot(b.x, b.y));
    for (const { column, row, x, y } of tiles) {
      if (!origin || plane !== this.drawn) return;
      const moves = point.moves.slice();
      moves[across] = x;
      moves[up] = y;
      const answer = await space.image(space.moved(origin, moves), point.code, Lane.MAP);
      if (!answer || plane !== this.drawn) return;
      const [, height, width] = about.image;
      Painter.put(this.canvas, Painter.pixels(answer.output, about.image), column * width, row * height);
    }
    this.canvas.dataset.shown = plane;
  }

  /**
   * Moves to where the reader points.
   * @param {PointerEvent} event
   */
  point(event) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const x = (event.clientX - left) / width, y = (event.clientY - top) / height;
    this.move((2 * x - 1) * Plane.EDGE, (1 - 2 * y) * Plane.EDGE);
  }

  /**
   * Moves by an arrow key.
   * @param {KeyboardEvent} event
   */
  step(event) {
    const by = Plane.KEYS[event.key];
    if (!by) return;
    event.preventDefault();
    const { moves } = this.explorer.point, [across, up] = this.directions;
    const size = event.shiftKey ? 1 : 0.25;
    this.move(moves[across] + size * by[0], moves[up] + size * by[1]);
  }

  /** @param {number} x @param {number} y */
  move(x, y) {
    const moves = this.explorer.point.moves.slice(), [across, up] = this.directions;
    const within = (/** @type {number} */ value) =>
      Math.round(20 * Math.min(Math.max(value, -Plane.EDGE), Plane.EDGE)) / 20;
    moves[across] = within(x);
    moves[up] = within(y);
    this.explorer.change({ moves });
  }

  /**
   * Standard deviations at the middle of a tile.
   * @param {number} i
   */
  static at(i) {
    return (i - (Plane.SIDE - 1) / 2) * ((2 * Plane.EDGE) / Plane.SIDE);
  }
}

Plane.SIDE = 7;
Plane.EDGE = 3.5; // standard deviations from the middle to an edge
/** @type {Record<string, [number, number]>} */
Plane.KEYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
