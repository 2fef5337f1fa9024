// Clocks that run down to a moment of the server's: <bdi data-countdown="<ISO end>" data-now="<ISO server time>">.
// They speak at 5, 2 and 1 minutes (data-say-5 …), and at 0 raise `forecourt:over` and show the note kept in
// <template data-countdown-over>. The server decides when a hold ends; this only tells.
import { say } from "./app.js";

const SPOKEN_MIN = [5, 2, 1];
const running = new Map();
let timer;

const text = (s) => `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}`;

export function start(scope) {
  for (const el of scope.querySelectorAll("[data-countdown]")) {
    if (running.has(el)) continue;
    const left_ms = Date.parse(el.dataset.countdown) - Date.parse(el.dataset.now);
    // Only what passed since the page came counts; how the reader's clock is set does not.
    running.set(el, { ends: Date.now() + left_ms, spoken: SPOKEN_MIN.filter((m) => left_ms <= m * 60_000) });
  }
  if (running.size && !timer) timer = setInterval(tick, 500);
  tick();
}

function tick() {
  for (const [el, state] of running) {
    if (!el.isConnected) { running.delete(el); continue; }
    const left = Math.max(0, Math.ceil((state.ends - Date.now()) / 1000));
    el.textContent = text(left);
    const root = el.closest("[data-countdown-root]");
    const bar = root?.querySelector("progress");
    if (bar) bar.value = left;
    for (const minutes of SPOKEN_MIN) {
      if (left <= minutes * 60 && !state.spoken.includes(minutes)) {
        state.spoken.push(minutes);
        if (el.hasAttribute(`data-say-${minutes}`)) say(el.getAttribute(`data-say-${minutes}`), minutes === 1);
      }
    }
    if (left === 0) { running.delete(el); over(el, root); }
  }
  if (!running.size) { clearInterval(timer); timer = undefined; }
}

function over(el, root) {
  const target = root ?? el;
  const asked = target.dispatchEvent(new CustomEvent("forecourt:over", { bubbles: true, cancelable: true }));
  if (!asked || !root) return;
  const note = root.nextElementSibling?.matches("template[data-countdown-over]") ? root.nextElementSibling : null;
  if (note) note.replaceWith(note.content.cloneNode(true));
  root.dataset.over = "";
  document.querySelectorAll("form[data-needs-hold] :is(button, [type=submit])").forEach((b) => { b.disabled = true; });
}
