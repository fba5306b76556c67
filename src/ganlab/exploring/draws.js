// @ts-check
// Random numbers as ganlab draws them: a seed gives the latent of `ganlab sample seeds=SEED`.
// NumPy's SeedSequence mixes the key, PyTorch's generator on a CPU draws.
"use strict";

/** The Mersenne Twister MT19937 (Matsumoto & Nishimura 1998). */
class Twister {
  /** @param {number} seed 32 bits */
  constructor(seed) {
    this.state = new Uint32Array(624);
    this.state[0] = seed;
    for (let i = 1; i < 624; i++) {
      const before = this.state[i - 1];
      this.state[i] = Math.imul(1812433253, before ^ (before >>> 30)) + i;
    }
    this.place = 624;
  }

  /** @returns {number} 32 random bits */
  next() {
    if (this.place === 624) this.twist();
    let bits = this.state[this.place++];
    bits ^= bits >>> 11;
    bits ^= (bits << 7) & 0x9d2c5680;
    bits ^= (bits << 15) & 0xefc60000;
    return (bits ^ (bits >>> 18)) >>> 0;
  }

  twist() {
    const { state } = this;
    for (let i = 0; i < 624; i++) {
      const bits = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (bits >>> 1) ^ (bits & 1 ? 0x9908b0df : 0);
    }
    this.place = 0;
  }

  /** @returns {number} of float32 in [0, 1): 24 random bits */
  unit() {
    return (this.next() & 0xffffff) / 2 ** 24;
  }

  /** @returns {number} of float64 in [0, 1): 53 random bits */
  longUnit() {
    const high = this.next() & 0x1fffff;
    return (high * 2 ** 32 + this.next()) / 2 ** 53;
  }

  /** @param {number} count of numbers that are left out */
  skip(count) {
    for (let i = 0; i < count; i++) this.next();
  }
}

const Draws = (() => {
  const ROWS = 64; // ganlab draws so many latents together, of which a seed's is the first
  const SAMPLES = 3; // the stream of samples

  /**
   * The 32 bits of a key that PyTorch's generator begins with.
   * @param {number[]} key at most 4 numbers of 32 bits
   */
  const mixed = (key) => {
    let factor = 0x43b0d7e5;
    /** @param {number} value */
    const hashed = (value) => {
      value ^= factor;
      factor = Math.imul(factor, 0x931e8875);
      value = Math.imul(value, factor);
      return value ^ (value >>> 16);
    };
    const pool = [0, 1, 2, 3].map((i) => hashed(key[i] ?? 0));
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) {
        if (from === to) continue;
        const value = Math.imul(0xca01f9dd, pool[to]) - Math.imul(0x4973f715, hashed(pool[from]));
        pool[to] = value ^ (value >>> 16);
      }
    }
    factor = 0x8b51f9dd;
    const [low, high] = pool.map((value) => {
      value ^= factor;
      factor = Math.imul(factor, 0x58f38ded);
      value = Math.imul(value, factor);
      return (value ^ (value >>> 16)) >>> 0;
    });
    return ((low >>> 1) | (high << 31)) >>> 0;
  };

  /**
   * Pairs of normal numbers by Box & Muller 1958, 16 together, in place.
   * @param {number[]} units
   */
  const normal = (units) => {
    for (let i = 0; i < units.length; i += 16) {
      for (let j = i; j < i + 8; j++) {
        const radius = Math.sqrt(-2 * Math.log(1 - units[j])), angle = 2 * Math.PI * units[j + 8];
        units[j] = radius * Math.cos(angle);
        units[j + 8] = radius * Math.sin(angle);
      }
    }
  };

  /**
   * The inverse of the error function, to float32's accuracy (Giles 2010).
   * @param {number} x
   */
  const inverseErf = (x) => {
    const near = [
      2.81022636e-8, 3.43273939e-7, -3.5233877e-6, -4.39150654e-6, 0.00021858087, -0.00125372503,
      -0.00417768164, 0.246640727, 1.50140941,
    ];
    const far = [
      -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613,
      0.00943887047, 1.00167406, 2.83297682,
    ];
    const w = -Math.log((1 - x) * (1 + x));
    const [t, factors] = w < 5 ? [w - 2.5, near] : [Math.sqrt(w) - 3, far];
    return x * factors.reduce((sum, factor) => sum * t + factor, 0);
  };

  /**
   * The error function, by its series.
   * @param {number} x in [0, 3]
   */
  const erf = (x) => {
    let term = x, sum = x;
    for (let n = 1; n < 60; n++) {
      term *= (-x * x) / n;
      sum += term / (2 * n + 1);
    }
    return (2 / Math.sqrt(Math.PI)) * sum;
  };

  /**
   * The noise and the code of a seed.
   * @param {number} seed in [0, 2^32)
   * @param {Prior} prior
   * @param {Codes} codes
   * @param {number | null} truncation of Gaussian noise: larger numbers are drawn again
   */
  const latent = (seed, prior, codes, truncation) => {
    const random = new Twister(mixed([seed, SAMPLES, 0]));
    const noise = Array.from({ length: Math.ceil(prior.dim / 16) * 16 }, () => random.unit());
    random.skip(ROWS * prior.dim - noise.length);
    if (prior.kind === "gaussian") normal(noise);
    else noise.forEach((unit, i) => (noise[i] = prior.low + (prior.high - prior.low) * unit));
    const free = codes.drawn ? codes.continuous : 0;
    const continuous = Array.from({ length: free }, () => 2 * random.unit() - 1);
    random.skip((ROWS - 1) * free);
    let choice = null; // the classes of data are chosen, those of InfoGAN are drawn
    if (codes.drawn && codes.choices.length) {
      choice = random.next() % codes.choices.length;
      random.skip(ROWS - 1);
    }
    if (truncation !== null && prior.kind === "gaussian") {
      const mass = erf(truncation / Math.SQRT2);
      for (let i = 0; i < prior.dim; i++) {
        const again = Math.SQRT2 * inverseErf((2 * random.longUnit() - 1) * mass);
        if (Math.abs(Math.fround(noise[i])) > truncation) noise[i] = again;
      }
    }
    return { noise: Float32Array.from(noise.slice(0, prior.dim)), choice, continuous };
  };

  return { latent };
})();
