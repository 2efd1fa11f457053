// Mouse, pen and fingers on a canvas: pan, wheel, pinch, hover and tap.

const SLACK = 6; // CSS pixels that a tap may move

export function gestures(element, { hover, pan, zoom, tap }) {
  const pointers = new Map();
  let travelled = 0;
  let spread = 0;

  const local = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const middle = () => {
    const all = [...pointers.values()];
    return [0, 1].map((k) => all.reduce((sum, point) => sum + point[k], 0) / all.length);
  };
  const distance = () => {
    const [[ax, ay], [bx, by]] = [...pointers.values()];
    return Math.hypot(ax - bx, ay - by);
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || pointers.size === 2) return; // a main button; a third finger does nothing
    element.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, local(event));
    if (pointers.size === 1) travelled = 0;
    if (pointers.size === 2) {
      spread = distance();
      travelled = Infinity; // a pinch is no tap
    }
  });
  element.addEventListener("pointermove", (event) => {
    const [left, top] = local(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") hover(left, top);
      return;
    }
    const from = middle();
    pointers.set(event.pointerId, [left, top]);
    const to = middle();
    travelled += Math.hypot(left - before[0], top - before[1]);
    if (travelled > SLACK) pan(to[0] - from[0], to[1] - from[1]);
    if (pointers.size === 2) {
      const now = distance();
      if (spread > 0 && now > 0) zoom(now / spread, ...to);
      spread = now;
    }
  });
  const end = (event) => {
    if (!pointers.delete(event.pointerId)) return;
    if (event.type === "pointerup" && travelled <= SLACK) tap(...local(event));
  };
  element.addEventListener("pointerup", end);
  element.addEventListener("pointercancel", end);
  element.addEventListener("pointerleave", () => hover(null));
  element.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 1 ? 16 : 1;
    zoom(Math.exp(-event.deltaY * lines * (event.ctrlKey ? 0.01 : 0.002)), ...local(event));
  }, { passive: false });
}
