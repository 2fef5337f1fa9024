// The entry: small behaviours every page shares. Everything here improves a page that already works without it.
import { patch } from "./patch.js";

const root = document.documentElement;
const YEAR_S = 31_536_000;

const csrf = () => document.querySelector('meta[name="csrf-token"]')?.content ?? "";

/** Say `text` to a screen reader: politely, or at once when `now`. */
export function say(text, now = false) {
  const region = document.getElementById(now ? "say-now" : "say");
  if (!region) return;
  region.textContent = "";
  setTimeout(() => { region.textContent = text; }, 60);
}

const TOAST_MS = 8000;

function watchToast(el) {
  let timer;
  const go = () => { timer = setTimeout(() => { el.dataset.leaving = ""; setTimeout(() => el.remove(), 300); }, TOAST_MS); };
  const stay = () => clearTimeout(timer);
  el.addEventListener("focusin", stay);
  el.addEventListener("pointerenter", stay);
  el.addEventListener("focusout", go);
  el.addEventListener("pointerleave", go);
  go();
}

/** What was done is said where it covers fewer of the controls in view: at the foot, or under the head. */
function dodge(box) {
  const controls = [...document.querySelectorAll("a[href], button, input, select, textarea")].filter((el) => !box.contains(el) && el.checkVisibility?.() !== false);
  const covered = () => {
    const r = box.getBoundingClientRect();
    return controls.filter((el) => { const c = el.getBoundingClientRect(); return c.width && c.top < r.bottom && c.bottom > r.top && c.left < r.right && c.right > r.left; }).length;
  };
  delete box.dataset.above;
  const below = covered();
  if (!below) return;
  box.dataset.above = "";
  if (covered() >= below) delete box.dataset.above;
}

/** Show what happened. `undo` is an address that takes a POST, or a function. */
export function toast(text, undo) {
  const box = document.getElementById("toasts");
  if (!box) return;
  const el = document.createElement("div");
  el.className = "toast";
  el.setAttribute("role", "status");
  el.append(Object.assign(document.createElement("span"), { textContent: text }));
  if (undo) {
    const button = Object.assign(document.createElement("button"), { className: "btn btn--s", type: "button", textContent: box.dataset.undoLabel });
    button.dataset.key = "z";
    button.addEventListener("click", async () => {
      el.remove();
      if (typeof undo === "function") undo();
      else await send(undo, {});
    });
    el.append(button);
  }
  box.append(el);
  watchToast(el);
  dodge(box);
}

/** POST a form's values; fragments that come back replace their twins by id. Returns {ok, problem}. */
export async function send(url, values) {
  const body = values instanceof FormData ? new URLSearchParams(values) : new URLSearchParams(values);
  let answer;
  try {
    answer = await fetch(url, {
      method: "POST", body, credentials: "same-origin",
      headers: { "X-CSRF-Token": csrf(), "HX-Request": "true", Accept: "text/html, application/problem+json" },
    });
  } catch {
    return { ok: false, problem: { detail: "" } };
  }
  const kind = answer.headers.get("Content-Type") ?? "";
  if (answer.ok) {
    if (kind.includes("text/html")) patch(await answer.text());
    tellFrom(answer.headers.get("HX-Trigger"));
    return { ok: true };
  }
  return { ok: false, problem: kind.includes("json") ? await answer.json() : { detail: "" } };
}

// A server may say {"toast": {"text": …, "undo": url}} or {"say": text} in HX-Trigger; htmx does the same for its own requests.
function tellFrom(header) {
  if (!header?.startsWith("{")) return;
  const told = JSON.parse(header);
  if (told.toast) toast(told.toast.text, told.toast.undo);
  if (told.say) say(told.say);
}
document.addEventListener("toast", (e) => toast(e.detail.text ?? e.detail.value, e.detail.undo));
document.addEventListener("say", (e) => say(e.detail.text ?? e.detail.value));

const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

const actions = {
  theme() {
    root.dataset.theme = isDark() ? "light" : "dark";
    document.cookie = `theme=${root.dataset.theme}; path=/; max-age=${YEAR_S}; samesite=lax`;
    say(root.dataset.theme);
  },
  sheet(el) { el.closest(".summary")?.toggleAttribute("data-open"); },
  map(el) {
    document.querySelector(".discover")?.toggleAttribute("data-map");
    const words = el.querySelector("span"), other = el.dataset.other;
    if (other) { el.dataset.other = words.textContent; words.textContent = other; }
  },
  reveal,
  dismiss(el) { el.closest("[data-dismiss]")?.remove(); },
  print() { print(); },
  locate(el) {
    navigator.geolocation?.getCurrentPosition(({ coords }) => {
      document.getElementById(el.dataset.lat).value = coords.latitude.toFixed(5);
      document.getElementById(el.dataset.lon).value = coords.longitude.toFixed(5);
    });
  },
  async copy(el) { await navigator.clipboard?.writeText(el.dataset.text ?? location.href); say(el.dataset.done ?? ""); },
};

// The element that opened a dialog gets the focus back when it closes (the browser does it; this also covers htmx swaps).
function openDialog(el) {
  const dialog = document.getElementById(el.dataset.dialog);
  if (!dialog?.showModal) return false;
  dialog.showModal();
  dialog.addEventListener("close", () => el.isConnected && el.focus(), { once: true });
  return true;
}

document.addEventListener("click", (e) => {
  const opener = e.target.closest("[data-dialog]");
  if (opener && openDialog(opener)) { e.preventDefault(); return; }
  const doer = e.target.closest("[data-do]");
  if (doer) actions[doer.dataset.do]?.(doer);
  const step = e.target.closest("[data-counter] [data-step]");
  if (step) stepCounter(step);
  if (e.target.matches?.("dialog.dialog")) closeOnBackdrop(e);
});

function closeOnBackdrop(e) {
  const r = e.target.getBoundingClientRect();
  const inside = e.clientX >= r.x && e.clientX <= r.x + r.width && e.clientY >= r.y && e.clientY <= r.y + r.height;
  if (!inside) e.target.close();
}

/** What a password field hides, in the clear until it is pressed again or the form leaves: browsers keep what stands in the clear. */
function reveal(button) {
  const input = document.getElementById(button.getAttribute("aria-controls"));
  input.type = input.type === "password" ? "text" : "password";
  for (const word of button.querySelectorAll("[data-when]")) word.hidden = word.dataset.when !== input.type;
}
document.addEventListener("submit", (e) => {
  for (const button of e.target.querySelectorAll('.reveal > input[type="text"] + [data-do="reveal"]')) reveal(button);
}, true);

function stepCounter(button) {
  const input = button.closest("[data-counter]").querySelector("input");
  const wanted = Number(input.value || 0) + Number(button.dataset.step);
  input.value = Math.min(Number(input.max), Math.max(Number(input.min), wanted));
  input.dispatchEvent(new Event("change", { bubbles: true }));
  say(input.value);
}

// A form asks first where its button says so; a sent form is busy and is not sent twice.
document.addEventListener("submit", (e) => {
  const form = e.target;
  const question = e.submitter?.dataset.confirm ?? form.dataset.confirm;
  if (question && !confirm(question)) { e.preventDefault(); return; }
  if (form.method === "dialog") return;
  if (form.getAttribute("aria-busy") === "true") { e.preventDefault(); return; }
  const button = e.submitter ?? form.querySelector('[type="submit"]');
  queueMicrotask(() => {
    const ours = form.closest("[hx-boost]") || form.hasAttribute("hx-post") || form.hasAttribute("hx-get");
    if (e.defaultPrevented && !ours) return;
    form.setAttribute("aria-busy", "true");
    button?.setAttribute("aria-busy", "true");
  });
});
const rest = (form) => {
  form.removeAttribute("aria-busy");
  form.querySelectorAll('[aria-busy="true"]').forEach((el) => el.removeAttribute("aria-busy"));
};
document.addEventListener("htmx:afterRequest", (e) => e.target.closest?.("form") && rest(e.target.closest("form")));
addEventListener("pageshow", () => document.querySelectorAll('form[aria-busy="true"]').forEach(rest));

// The brand's colour is seen while it is chosen.
document.addEventListener("input", (e) => {
  if (e.target.matches("[data-hue-input]")) root.dataset.hue = Math.floor(e.target.value / 2) * 2;
});

// Filters and switches act when changed; their form keeps a button for readers without scripts.
document.addEventListener("change", (e) => {
  const form = e.target.closest("form[data-auto]");
  if (form) form.requestSubmit();
});

// A menu closes when somebody looks elsewhere, and by Escape, which gives the focus back to what opened it.
const openMenu = () => document.querySelector("details.menu[open]");
document.addEventListener("click", (e) => { const menu = openMenu(); if (menu && !menu.contains(e.target)) menu.open = false; });
document.addEventListener("focusin", (e) => { const menu = openMenu(); if (menu && !menu.contains(e.target)) menu.open = false; });

// A press that swaps what it stands in keeps the focus: on the same thing, or on what took its place.
let pressed = "";
let pressedKind = "";
document.addEventListener("htmx:beforeSwap", (e) => {
  const at = document.activeElement?.closest("[data-focus], [href]");
  pressedKind = at?.classList[0] ?? "";
  pressed = at && e.detail.target?.contains(at) ? (at.dataset.focus ? `[data-focus="${CSS.escape(at.dataset.focus)}"]` : `a[href="${CSS.escape(at.getAttribute("href"))}"]`) : "";
});
document.addEventListener("htmx:afterSettle", () => {
  // Of rows that share a name one is open: the old one, still there when the new one came, folded it.
  document.querySelectorAll("details[data-mine]:not([open])").forEach((row) => { row.open = true; });
  if (pressed && (document.activeElement === document.body || !document.activeElement)) {
    // Several things may lead to one address: a time, and the length that is chosen with it.
    const same = [...document.querySelectorAll(pressed)].filter((el) => el.checkVisibility?.() ?? true);
    (same.find((el) => (el.classList[0] ?? "") === pressedKind) ?? same[0])?.focus({ preventScroll: true });
  }
  pressed = "";
});

document.addEventListener("htmx:configRequest", (e) => { e.detail.headers["X-CSRF-Token"] = csrf(); });
document.addEventListener("htmx:sendError", () => document.body.dispatchEvent(new CustomEvent("forecourt:offline")));

// Keys: a visible element with data-key is pressed by its letter, unless somebody is typing.
const typing = (el) => el?.closest?.('input:not([type="checkbox"], [type="radio"]), textarea, select, [contenteditable="true"]');
document.addEventListener("keydown", (e) => {
  if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || typing(e.target)) return;
  const scope = document.querySelector("dialog[open]") ?? document;
  // A filter is a link that reads as a button: the space bar presses it, as it would a button.
  if (e.key === " " && e.target.matches?.('a[role="button"]')) { e.preventDefault(); e.target.click(); return; }
  if (e.key === "/" && scope === document) {
    const finder = document.querySelector('[data-finder], [role="search"] input');
    if (finder) { e.preventDefault(); finder.focus(); finder.select?.(); }
    return;
  }
  if (e.key === "?") {
    const keys = document.getElementById("keys-dialog");
    if (keys && !keys.open) { e.preventDefault(); keys.showModal(); }
    return;
  }
  if (e.key.length !== 1 && e.key !== "Escape") return;
  if (e.key === "Escape" && openMenu()) { const menu = openMenu(); menu.open = false; menu.querySelector("summary").focus(); return; }
  if (e.key === "Escape" && scope !== document) return;
  const wanted = [...scope.querySelectorAll(`[data-key="${CSS.escape(e.key.toLowerCase())}"]`)].filter((el) => el.checkVisibility?.() ?? true);
  if (wanted.length) { e.preventDefault(); wanted.at(-1).click(); }
});

// What the page was about opens in view: a day at the present, a strip at its chosen day, a thread at its end.
function scrollIn(scope) {
  for (const el of scope.querySelectorAll("[data-scroll]")) {
    const target = el.querySelector(el.dataset.scroll);
    if (!target) continue;
    const box = el.getBoundingClientRect(), t = target.getBoundingClientRect();
    el.scrollTop += t.y - box.y - el.clientHeight * 0.42;
    const all_there = t.x >= box.x && t.x + t.width <= box.x + el.clientWidth;
    if (!all_there && t.width < el.clientWidth) el.scrollLeft += t.x + t.width / 2 - box.x - el.clientWidth * 0.5;
  }
}

// Other modules are fetched only by pages that have something for them.
const wanted = [
  ["[data-countdown]", "./countdown.js"],
  ['[role="grid"]', "./grid.js"],
  ["[data-live]", "./live.js"],
  [".day[data-move-url]", "./daysheet.js"],
  ["[data-map-pan], [data-near]", "./map.js"],
  ["[data-bell]", "./inbox.js"],
];
function enliven(scope) {
  scope.querySelectorAll("[data-guess-zone]").forEach((el) => { el.value ||= Intl.DateTimeFormat().resolvedOptions().timeZone ?? ""; });
  scope.querySelectorAll("[data-toast]:not([data-watched])").forEach((el) => { el.dataset.watched = ""; watchToast(el); dodge(el.parentElement); });
  for (const [what, where] of wanted) {
    if (scope.querySelector(what) || scope.matches?.(what)) import(where).then((m) => m.start?.(scope));
  }
  scrollIn(scope);
}
enliven(document);
document.addEventListener("htmx:afterSettle", (e) => enliven(e.target));
document.addEventListener("forecourt:patched", (e) => enliven(e.detail));
