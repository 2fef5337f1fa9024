// Pushes to this browser: the switch among a person's preferences.
import { send } from "./app.js";

export async function push(el) {
  const input = el.querySelector("input"), show = (what) => { el.querySelector(`[data-push-${what}]`).hidden = false; input.disabled = true; };
  if (!("serviceWorker" in navigator) || !("PushManager" in self)) { show("none"); return; }
  if (Notification.permission === "denied") { show("denied"); return; }
  const worker = await navigator.serviceWorker.register("/push-worker.js").catch(() => null);
  if (!worker) { show("none"); return; }
  input.checked = await known(worker);
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

// A browser that its push service still knows, and the house for whoever is signed in: after signing out it has forgotten it.
async function known(worker) {
  const made = (await worker.pushManager.getSubscription())?.toJSON();
  return !!made && (await send("/account/notifications/push", { endpoint: made.endpoint, ...made.keys, renew: "yes" })).ok;
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
