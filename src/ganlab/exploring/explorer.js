// @ts-check
// What all parts of the page share: the point on show.  Dispatches "change" after it has moved.
"use strict";

class Explorer extends EventTarget {
  /** @param {Space} space */
  constructor(space) {
    super();
    this.space = space;
    this.about = space.about;
    this.point = space.first();
  }

  /** @param {Point} point */
  show(point) {
    this.point = point;
    this.dispatchEvent(new Event("change"));
  }

  /** @param {Partial<Place>} changes of the point on show */
  change(changes) {
    this.show(this.point.with(changes));
  }

  /** @param {() => void} listener called after each move, and now */
  onChange(listener) {
    this.addEventListener("change", listener);
    listener();
  }
}

/**
 * The element of an id.
 * @template {typeof Element} T
 * @param {string} id
 * @param {T} kind
 * @returns {InstanceType<T>}
 */
function element(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`no #${id}`);
  return /** @type {InstanceType<T>} */ (found);
}
