// The bell on every page: its number, kept live. One tab of the browser holds the socket and tells the others.
import { say, send } from "./app.js";

const TOPIC = "inbox", LEAST_MS = 1000, MOST_MS = 30_000;
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

function follow(release) {
  let failures = 0, since;
  const connect = () => {
    const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/socket`, "forecourt.v1");
    socket.addEventListener("open", () => socket.send(JSON.stringify({ op: "subscribe", topic: TOPIC, ...(since ? { since } : {}) })));
    socket.addEventListener("message", (e) => {
      const m = JSON.parse(e.data);
      if (m.op === "subscribed" || m.op === "reset") { failures = 0; since = { epoch: m.epoch, seq: m.seq }; if (m.op === "reset" || !m.recovered) tell(); }
      if (m.op === "event" && m.topic?.startsWith(TOPIC)) { if (m.seq) since = { epoch: m.epoch, seq: m.seq }; tell(); }
    });
    socket.addEventListener("close", (e) => {
      if (e.code >= 4401 && e.code <= 4409 && e.code !== 4408) { release(); return; }
      const pause = Math.min(MOST_MS, LEAST_MS * 2 ** Math.min(failures++, 5));
      setTimeout(connect, pause / 2 + Math.random() * pause / 2);
    });
  };
  connect();
}
function tell() { changed(); tabs?.postMessage("changed"); }

/** Once for a page, whatever is patched into it later. */
export function start() {
  if (begun) return;
  begun = true;
  refresh();
  if (navigator.locks) navigator.locks.request("forecourt-inbox", () => new Promise(follow));
  else follow(() => {});
  const box = document.querySelector("[data-push]");
  if (box) push(box);
}

// A notice that is followed counts as read.
document.addEventListener("click", (e) => {
  const link = e.target.closest("a[data-read]");
  if (!link) return;
  const csrf = document.querySelector('meta[name="csrf-token"]')?.content ?? "";
  fetch(link.dataset.read, { method: "POST", keepalive: true, credentials: "same-origin", redirect: "manual", headers: { "X-CSRF-Token": csrf, "Content-Type": "application/x-www-form-urlencoded" }, body: "" });
});

// --- pushes to this browser

async function push(el) {
  const input = el.querySelector("input"), show = (what) => { el.querySelector(`[data-push-${what}]`).hidden = false; input.disabled = true; };
  if (!("serviceWorker" in navigator) || !("PushManager" in self)) { show("none"); return; }
  if (Notification.permission === "denied") { show("denied"); return; }
  const worker = await navigator.serviceWorker.register("/push-worker.js").catch(() => null);
  if (!worker) { show("none"); return; }
  input.checked = !!(await worker.pushManager.getSubscription());
  input.addEventListener("change", async () => {
    input.disabled = true;
    try {
      if (input.checked) await allow(worker, el.dataset.pushKey); else await end(worker);
    } catch {
      input.checked = false;
      if (Notification.permission === "denied") { show("denied"); return; }
    }
    input.disabled = false;
  });
}

async function allow(worker, key) {
  const bytes = Uint8Array.from(atob(key.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
  const made = (await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes })).toJSON();
  const { ok } = await send("/account/notifications/push", { endpoint: made.endpoint, ...made.keys });
  if (!ok) throw new Error("not kept");
}

async function end(worker) {
  const made = await worker.pushManager.getSubscription();
  if (!made) return;
  await made.unsubscribe();
  await send("/account/notifications/push-off", { endpoint: made.endpoint });
}
