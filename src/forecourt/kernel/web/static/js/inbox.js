// The bell on every page: its number, kept live. One tab of the browser follows it and tells the others.
import { say } from "./app.js";

const TOPIC = "inbox";
let newest = null, soon = 0, begun = false;

async function refresh() {
  soon = 0;
  let answer;
  try { answer = await fetch("/notifications/bell", { credentials: "same-origin", headers: { "HX-Request": "true" } }); } catch { return; }
  if (!answer.ok) return;
  const doc = new DOMParser().parseFromString(await answer.text(), "text/html");
  const count = doc.querySelector("[data-bell-count]");
  if (!count) return;
  for (const bell of document.querySelectorAll("[data-bell]")) {
    bell.querySelector("[data-bell-count]")?.replaceWith(count.cloneNode(true));
    bell.setAttribute("aria-label", count.dataset.label);
  }
  if (newest !== null && count.dataset.newest && count.dataset.newest !== newest) say(count.dataset.said);
  newest = count.dataset.newest ?? "";
  await list();
}

// The open inbox shows what came, without moving who is in it.
async function list() {
  const here = document.querySelector("[data-inbox-list]");
  if (!here || here.contains(document.activeElement) || newest === here.dataset.newest) return;
  here.dataset.newest = newest;
  if (here.dataset.seen === undefined) { here.dataset.seen = ""; return; }
  const answer = await fetch(location.href, { credentials: "same-origin" }).catch(() => null);
  if (!answer?.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("[data-inbox-list]");
  if (fresh) { fresh.dataset.newest = newest; fresh.dataset.seen = ""; here.replaceWith(fresh); }
}

function changed() { if (!soon) soon = setTimeout(refresh, 80); }

// --- one socket for all tabs

const tabs = "BroadcastChannel" in self ? new BroadcastChannel("forecourt-inbox") : null;
tabs?.addEventListener("message", changed);

// The page's socket carries the topic; only the tab that holds the lock needs one for it.
async function hold(release) {
  const { follow, watch } = await import("./line.js");
  follow(TOPIC, { event: tell, reset: tell });
  watch((_, state) => { if (state === "closed") release(); });
}
function tell() { changed(); tabs?.postMessage("changed"); }

/** Once for a page, whatever is patched into it later. */
export function start() {
  if (begun) return;
  begun = true;
  refresh();
  if (navigator.locks) navigator.locks.request("forecourt-inbox", () => new Promise(hold));
  else hold(() => {});
  const box = document.querySelector("[data-push]");
  if (box) import("./push.js").then((m) => m.push(box));
}

// A notice that is followed counts as read.
document.addEventListener("click", (e) => {
  const link = e.target.closest("a[data-read]");
  if (!link) return;
  const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  fetch(link.dataset.read, { method: "POST", keepalive: true, credentials: "same-origin", redirect: "manual", headers: { "X-CSRF-Token": csrf, "Content-Type": "application/x-www-form-urlencoded" }, body: "" });
});
