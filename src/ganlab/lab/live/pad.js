// @ts-check
// A pad to draw on: a canvas that turns strokes of a mouse, pen or finger into points.
"use strict";

/**
 * @param {HTMLCanvasElement} canvas
 * @param {(points: number[][]) => void} done called with all points, in [-1, 1]^2, after a stroke
 * @returns {{wipe: () => void}}
 */
function drawingPad(canvas, done) {
  const APART = 0.03; // distance between neighbouring points
  const MOST = 1500;
  /** @type {number[][]} */
  let points = [];
  /** @type {number[] | null} */
  let last = null;
  /** @type {number | null} The mouse, pen or finger that draws; others are not heard meanwhile. */
  let pointer = null;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));

  /** @param {number[]} point */
  const dot = ([x, y]) => {
    context.fillStyle = "#2f86d1";
    context.beginPath();
    context.arc(((x + 1) / 2) * canvas.width, ((1 - y) / 2) * canvas.height, 5, 0, 2 * Math.PI);
    context.fill();
  };

  /** @param {number[]} point */
  const add = (point) => {
    if (points.length >= MOST) return;
    points.push(point);
    dot(point);
    last = point;
  };

  /** @param {PointerEvent} event */
  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * 2 - 1;
    const y = 1 - ((event.clientY - box.top) / box.height) * 2;
    return [x, y].map((value) => Math.min(1, Math.max(-1, value)));
  };

  /** @param {number[]} to a line of points from the last one */
  const reach = (to) => {
    if (!last) return add(to);
    const [from, distance] = [last, Math.hypot(to[0] - last[0], to[1] - last[1])];
    for (let way = APART; way <= distance; way += APART) {
      add([0, 1].map((axis) => from[axis] + ((to[axis] - from[axis]) * way) / distance));
    }
  };

  canvas.addEventListener("pointerdown", (event) => {
    if (pointer !== null) return;
    pointer = event.pointerId;
    try {
      canvas.setPointerCapture(pointer);
    } catch {
      // a busy page hears of a touch when it is already over; its end follows
    }
    reach(at(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerId === pointer) reach(at(event));
  });
  /** @param {PointerEvent} event */
  const lift = (event) => {
    if (event.pointerId !== pointer) return;
    done(points);
    [pointer, last] = [null, null];
  };
  canvas.addEventListener("pointerup", lift);
  canvas.addEventListener("pointercancel", lift);

  return {
    wipe: () => {
      points = [];
      context.clearRect(0, 0, canvas.width, canvas.height);
    },
  };
}
