// @ts-check
// What the page holds beside its text: plain data, and bytes that are gzipped and in base64.
"use strict";

const Payload = {
  /** @param {string} id @returns {any} plain data */
  data(id) {
    return JSON.parse(Payload.text(id));
  },

  /** @param {string} id @returns {string} the text of an element */
  text(id) {
    return document.getElementById(id)?.textContent ?? "";
  },

  /** @param {string} id @returns {Promise<Uint8Array>} the bytes of an element, which is emptied */
  async bytes(id) {
    const packed = Base64.bytes(Payload.text(id));
    document.getElementById(id)?.replaceChildren();
    const { DecompressionStream } = /** @type {any} */ (globalThis); // newer than TypeScript 4.8
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  },

  /**
   * Numbers in float32, or in float16 where the page holds them so.
   * @param {Uint8Array} bytes
   * @param {boolean} half
   */
  floats(bytes, half) {
    if (!half) return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
    return Float32Array.from(halves, Payload.float);
  },

  /** @param {number} bits of a float16 @returns {number} */
  float(bits) {
    const sign = bits & 0x8000 ? -1 : 1, power = (bits >> 10) & 31, rest = bits & 1023;
    if (power === 0) return sign * rest * 2 ** -24;
    if (power === 31) return rest ? NaN : sign * Infinity;
    return sign * (1 + rest / 1024) * 2 ** (power - 15);
  },
};

const Base64 = {
  /** @param {string} text @returns {Uint8Array} */
  bytes(text) {
    const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = new Uint8Array(plain.length);
    for (let i = 0; i < plain.length; i++) bytes[i] = plain.charCodeAt(i);
    return bytes;
  },

  /** @param {string} text of float32 @returns {Float32Array} */
  floats(text) {
    return new Float32Array(Base64.bytes(text).buffer);
  },

  /** @param {Float32Array} numbers @returns {string} for an address */
  text(numbers) {
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    const plain = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
    return plain.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  },
};
