// @ts-check
// Draws a plot when it comes into view, or before the page is printed.  Dispatches "plot" with its model.
// The library itself, most of a second of a browser's work, runs before the first plot.
"use strict";

(() => {
  const NEAR = "400px"; // to the edge of what is seen
  /** @type {Set<Element>} */
  const waiting = new Set(document.querySelectorAll("[data-plot]"));
  const nonce = /** @type {HTMLScriptElement} */ (document.currentScript).nonce;

  /** @returns {any} */
  const library = () => {
    if (!("Bokeh" in window)) {
      const script = document.createElement("script");
      script.nonce = nonce;
      script.textContent = document.getElementById("library")?.textContent ?? "";
      document.head.append(script);
    }
    return /** @type {any} */ (window).Bokeh;
  };

  /** @param {Element} box */
  const draw = async (box) => {
    if (!waiting.delete(box)) return;
    seen.unobserve(box);
    const name = /** @type {HTMLElement} */ (box).dataset.plot ?? "";
    const item = JSON.parse(document.getElementById(name)?.textContent ?? "{}");
    const [view] = await library().embed.embed_item(item, box);
    document.dispatchEvent(new CustomEvent("plot", { detail: view.model }));
  };

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) draw(entry.target);
  }, { rootMargin: NEAR });

  for (const box of waiting) seen.observe(box);
  addEventListener("beforeprint", () => waiting.forEach(draw));
})();
