// Panning and zooming of a map the server drew: the viewBox moves, labels keep their size. Without this it is a picture with links.

const MOST = 8;

export function start(scope) {
  scope.querySelectorAll("[data-map-pan]:not([data-panned])").forEach(enliven);
  scope.querySelectorAll("[data-near]").forEach((button) => { button.onclick = () => ask(button); });
}

// "Near me": the browser is asked only when pressed, and the point is sent rounded to about a hundred metres.
function ask(button) {
  const { near, q } = button.form.elements;
  button.setAttribute("aria-busy", "true");
  const failed = () => {
    button.removeAttribute("aria-busy");
    document.getElementById("near-denied").hidden = false;
    q.focus();
  };
  if (!navigator.geolocation) { failed(); return; }
  navigator.geolocation.getCurrentPosition(({ coords }) => {
    near.value = `${coords.latitude.toFixed(3)},${coords.longitude.toFixed(3)}`;
    q.value = "";
    button.form.requestSubmit();
  }, failed, { timeout: 8000, maximumAge: 600_000 });
}

function enliven(box) {
  box.dataset.panned = "";
  const svg = box.querySelector("svg");
  const whole = svg.viewBox.baseVal;
  const full = { w: whole.width, h: whole.height };
  const view = { x: 0, y: 0, w: full.w, h: full.h };
  let drag = null;

  const show = () => {
    svg.setAttribute("viewBox", `${view.x} ${view.y} ${view.w} ${view.h}`);
    const k = view.w / full.w;
    for (const pin of svg.querySelectorAll(".pin")) {
      const stem = pin.querySelector(".stem");
      const x = stem.cx.baseVal.value, y = stem.cy.baseVal.value;
      pin.setAttribute("transform", `translate(${x * (1 - k)} ${y * (1 - k)}) scale(${k})`);
    }
  };
  const zoom = (factor, cx = view.x + view.w / 2, cy = view.y + view.h / 2) => {
    const w = Math.min(full.w, Math.max(full.w / MOST, view.w * factor));
    const k = w / view.w;
    view.x = clamp(cx - (cx - view.x) * k, full.w - w);
    view.y = clamp(cy - (cy - view.y) * k, full.h - full.h * w / full.w);
    view.w = w; view.h = full.h * w / full.w;
    show();
  };
  const clamp = (v, most) => Math.min(Math.max(0, v), Math.max(0, most));

  box.addEventListener("click", (e) => {
    const button = e.target.closest("[data-zoom]");
    if (button) zoom(button.dataset.zoom === "in" ? 0.66 : 1.5);
    if (drag?.moved) e.preventDefault();
    drag = null;
  });
  svg.addEventListener("wheel", (e) => {
    if (!e.ctrlKey && view.w === full.w && e.deltaY > 0) return;
    e.preventDefault();
    const p = new DOMPoint(e.clientX, e.clientY).matrixTransform(svg.getScreenCTM().inverse());
    zoom(e.deltaY > 0 ? 1.2 : 1 / 1.2, p.x, p.y);
  }, { passive: false });
  svg.addEventListener("pointerdown", (e) => { drag = { x: e.clientX, y: e.clientY, vx: view.x, vy: view.y, moved: false, id: e.pointerId }; });
  svg.addEventListener("pointermove", (e) => {
    if (!drag || drag.id !== e.pointerId || !(e.buttons & 1)) return;
    const dx = e.clientX - drag.x, dy = e.clientY - drag.y;
    if (!drag.moved && Math.hypot(dx, dy) < 6) return;
    if (!drag.moved) svg.setPointerCapture(e.pointerId);
    drag.moved = true;
    const scale = view.w / svg.clientWidth;
    view.x = clamp(drag.vx - dx * scale, full.w - view.w);
    view.y = clamp(drag.vy - dy * scale, full.h - view.h);
    show();
  });

  // A result in the list and its pin belong together.
  const mark = (id, on) => svg.querySelector(`[data-place="${CSS.escape(id)}"]`)?.classList.toggle("pin--on", on);
  for (const kind of ["pointerover", "focusin"]) document.addEventListener(kind, (e) => {
    const card = e.target.closest?.("[data-shows-place]");
    svg.querySelectorAll(".pin--on[data-hovered]").forEach((p) => { p.classList.remove("pin--on"); delete p.dataset.hovered; });
    if (!card) return;
    const pin = svg.querySelector(`[data-place="${CSS.escape(card.dataset.showsPlace)}"]`);
    if (pin && !pin.classList.contains("pin--on")) { pin.dataset.hovered = ""; mark(card.dataset.showsPlace, true); }
  });
}
