// Live parts: one event stream per page, named by data-live on any element (usually body). A message is JSON:
//   {"topic": …, "html": "<fragment ids>", "remove": [ids], "say": text, "toast": {text, undo}}   patches by id
//   {"topic": …, "reload": url}                                                                     fetches the fragment, then patches
//   {"dates": ["2026-11-19", …]}      fetches every [data-fragment] again that shows one of these days (data-day), or no day
// A closed stream comes back after a growing, jittered pause; after a gap every [data-fragment="<url>"] is fetched again.
import { say, toast } from "./app.js";
import { patch } from "./patch.js";

const LEAST_MS = 1000, MOST_MS = 30_000, SPREAD_MS = 800;
const open = new Map();

export function start(scope) {
  const els = [...scope.querySelectorAll("[data-live]")];
  if (scope.matches?.("[data-live]")) els.push(scope);
  for (const el of els) {
    const url = el.dataset.live;
    if (url && !open.has(url)) connect(url, el, 0);
  }
}

function connect(url, el, failures) {
  const source = new EventSource(url, { withCredentials: true });
  open.set(url, source);
  let alive = false;
  source.addEventListener("open", () => { alive = true; online(true); if (failures) refetch(); });
  source.addEventListener("message", (e) => take(e.data));
  source.addEventListener("reset", () => refetch());
  source.addEventListener("bye", (e) => again(Number(e.data) || 0));
  source.addEventListener("error", () => again(0));

  function again(least) {
    source.close();
    if (!el.isConnected) { open.delete(url); return; }
    const n = alive ? 1 : failures + 1;
    if (n > 2) online(false);
    const pause = Math.min(MOST_MS, LEAST_MS * 2 ** Math.min(n, 5));
    setTimeout(() => connect(url, el, n), least + pause / 2 + Math.random() * pause / 2);
  }
}

function take(data) {
  let m;
  try { m = JSON.parse(data); } catch { return; }
  if (m.html || m.remove) patch(m.html ?? "", m.remove ?? []);
  if (m.reload) fetchSoon(m.reload);
  if (m.dates) refetch(m.dates);
  if (m.say) say(m.say);
  if (m.toast) toast(m.toast.text, m.toast.undo);
  document.dispatchEvent(new CustomEvent("forecourt:live", { detail: m }));
}

// Many readers hear of a change at once: each waits a moment of its own, and asks once for a burst.
const asked = new Map();
const fragments = new Set();
function fetchSoon(url) {
  if (asked.has(url)) return;
  asked.set(url, setTimeout(async () => {
    asked.delete(url);
    try {
      const answer = await fetch(url, { headers: { "HX-Request": "true" }, credentials: "same-origin" });
      // Meanwhile the reader may have gone on to another day: that answer came with the press.
      const shown = document.querySelector(`[data-fragment="${CSS.escape(url)}"]`);
      if (answer.ok && (shown || !fragments.has(url))) patch(await answer.text());
    } catch { /* the stream notices that we are offline */ }
  }, Math.random() * SPREAD_MS));
}

function refetch(dates) {
  for (const el of document.querySelectorAll("[data-fragment]")) {
    const shows = !Array.isArray(dates) || !el.dataset.day || dates.includes(el.dataset.day);
    if (shows) { fragments.add(el.dataset.fragment); fetchSoon(el.dataset.fragment); }
  }
}

// Offline: what is on the page stays, says so, and cannot be changed.
let was = true;
function online(now) {
  if (now === was) return;
  was = now;
  document.querySelectorAll("[data-offline-note]").forEach((el) => { el.hidden = now; });
  document.querySelectorAll("[data-fragment]").forEach((el) => el.toggleAttribute("data-stale", !now));
  document.dispatchEvent(new CustomEvent("forecourt:connection", { detail: { online: now } }));
}
addEventListener("offline", () => online(false));
addEventListener("online", () => { online(true); refetch(); });
