// @ts-check
// Images on canvases, each number rounded to one of 256 levels.
"use strict";

const Painter = {
  /**
   * @param {Float32Array} values (H, W, C) in [-1, 1]
   * @param {number[]} shape (C, H, W)
   * @returns {ImageData}
   */
  pixels(values, [channels, height, width]) {
    const image = new ImageData(width, height), { data } = image;
    for (let i = 0; i < width * height; i++) {
      for (let c = 0; c < 4; c++) {
        const from = channels === 1 ? i : i * channels + c; // grey is three equal colours
        const present = c < Math.max(channels, 3);
        data[4 * i + c] = present ? Math.round((values[from] + 1) * 127.5) : 255;
      }
    }
    return image;
  },

  /** @param {HTMLCanvasElement} canvas @returns {CanvasRenderingContext2D} */
  context(canvas) {
    const context = canvas.getContext("2d");
    if (!context) throw new Error("this browser has no canvas");
    return context;
  },

  /** @param {HTMLCanvasElement} canvas @param {ImageData} image @param {number} x @param {number} y */
  put(canvas, image, x = 0, y = 0) {
    Painter.context(canvas).putImageData(image, x, y);
  },

  /**
   * Offers a file to the reader.
   * @param {Blob} content
   * @param {string} name
   */
  offer(content, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  },
};
