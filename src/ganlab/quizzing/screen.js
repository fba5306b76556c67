// @ts-check
// Images on canvases: all of one shape, all enlarged alike, shown for an exact number of frames.
"use strict";

/** @returns {Promise<number>} when the next frame begins, in milliseconds */
const quizFrame = () => new Promise((resolve) => requestAnimationFrame(resolve));

class QuizScreen {
  /**
   * @param {HTMLCanvasElement[]} canvases
   * @param {{size: number, channels: number}} shape of every image
   */
  constructor(canvases, shape) {
    this.canvases = canvases;
    this.shape = shape;
    /** @type {ImageData[]} */
    this.images = [];
    for (const canvas of canvases) canvas.width = canvas.height = shape.size;
    window.addEventListener("resize", () => this.fit());
  }

  /** Gives all canvases the size of the largest whole enlargement that has room. */
  fit() {
    const { size } = this.shape;
    for (const canvas of this.canvases) {
      const room = /** @type {HTMLElement} */ (canvas.parentElement).clientWidth;
      const factor = Math.floor(room / size);
      canvas.style.width = canvas.style.height = `${factor ? factor * size : room}px`;
      canvas.classList.toggle("pixels", factor > 0);
    }
  }

  /** @param {Uint8Array} bytes (images, size, size, channels) */
  load(bytes) {
    const { size, channels } = this.shape;
    const area = size * size;
    this.images = this.canvases.map((_, number) => {
      const image = new ImageData(size, size);
      const start = number * area * channels;
      for (let i = 0; i < area; i++) {
        for (let c = 0; c < 3; c++) {
          image.data[4 * i + c] = bytes[start + i * channels + (channels === 1 ? 0 : c)];
        }
        image.data[4 * i + 3] = channels === 4 ? bytes[start + 4 * i + 3] : 255;
      }
      return image;
    });
  }

  /** Shows what has been loaded. */
  show() {
    this.paint((canvas, number) => canvas.putImageData(this.images[number], 0, 0));
  }

  /** Shows nothing. */
  clear() {
    this.paint((canvas) => canvas.clearRect(0, 0, this.shape.size, this.shape.size));
  }

  /** Shows noise, which ends what the eye still sees of an image. */
  mask() {
    const { size, channels } = this.shape;
    this.paint((canvas) => {
      const noise = new ImageData(size, size);
      for (let i = 0; i < noise.data.length; i += 4) {
        for (let c = 0; c < 3; c++) {
          noise.data[i + c] = channels === 1 && c ? noise.data[i] : 256 * Math.random();
        }
        noise.data[i + 3] = 255;
      }
      canvas.putImageData(noise, 0, 0);
    });
  }

  /**
   * Shows what has been loaded for a time, to the nearest frame, and then noise.
   * @param {number} milliseconds
   * @returns {Promise<number>} how long it was to be seen, by the times of the frames
   */
  async expose(milliseconds) {
    const began = await quizFrame();
    this.show();
    let before = began;
    let now = await quizFrame();
    while (now - began + (now - before) / 2 < milliseconds) {
      before = now;
      now = await quizFrame();
    }
    this.mask();
    return now - began;
  }

  /** @param {(canvas: CanvasRenderingContext2D, number: number) => void} draw */
  paint(draw) {
    this.canvases.forEach((canvas, number) => {
      draw(/** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d")), number);
    });
  }
}
