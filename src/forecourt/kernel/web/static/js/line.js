// The page's one socket, for whatever on it is live: the bell, chat, a room. Several parts may follow one topic.
// It says of the reader: here, away when the page is not looked at, not to be disturbed in the hours they chose.
import { Socket } from "./socket.js";

const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/socket`, LOOK_MS = 30_000;
const followed = new Map(), watchers = new Set();
const KEPT = "quiet";
let socket = null, quiet = JSON.parse(sessionStorage.getItem(KEPT)), asked = false, shown = "";

function line() {
  if (socket) return socket;
  socket = new Socket({ url, onState: (state) => { if (state === "open") hours(); for (const watcher of watchers) watcher(state === "open", state); } });
  document.addEventListener("visibilitychange", show);
  setInterval(show, LOOK_MS);
  show();
  return socket;
}

/** Follow a topic: `event(frame)` in order, `reset()`: read the state again, `gone()`: it may not be followed. */
export function follow(topic, follower) {
  const others = followed.get(topic);
  if (others) { others.push(follower); return; }
  const all = [follower];
  followed.set(topic, all);
  line().follow(topic, {
    since: follower.since ?? null,
    onEvent: (e) => { for (const one of all) one.event?.(e); },
    onReset: (at) => { for (const one of all) one.reset?.(at); },
    onGone: (code) => { followed.delete(topic); for (const one of all) one.gone?.(code); },
  });
}

export const typing = (topic) => line().typing(topic);

/** At every change: `watcher(open, state)`; "closed" is for good. */
export function watch(watcher) {
  watchers.add(watcher);
  if (socket) watcher(socket.state === "open", socket.state);
}

/** Says how far was read; false without a line. */
export function read(topic, seq) {
  if (socket?.state !== "open") return false;
  socket.read(topic, seq);
  return true;
}

// --- whether the reader is here

// Kept from page to page, so that nobody is shown as here for the moment in which their hours are asked for.
async function hours() {
  if (asked) return;
  asked = true;
  try {
    const answer = await fetch("/v1/me/chat", { headers: { Accept: "application/json" } });
    if (answer.ok) sessionStorage.setItem(KEPT, JSON.stringify(quiet = (await answer.json()).quiet));
  } catch { /* as it was */ }
  show();
}

/** By the clock of the hours' time zone. They may run past midnight; a weekday is that of the start. */
function within({ start, end, weekdays, timezone: timeZone }) {
  const [day, now] = new Date().toLocaleString("en-GB", { timeZone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).split(/,? /);
  const today = "MonTueWedThuFriSatSun".indexOf(day) / 3, on = (d) => !weekdays?.length || weekdays.includes((d + 7) % 7);
  return end > start ? now >= start && now < end && on(today) : (now >= start && on(today)) || (now < end && on(today - 1));
}

function show() {
  let state = document.hidden ? "away" : "online";
  try { if (quiet && within(quiet)) state = "dnd"; } catch { /* a time zone that this browser does not know */ }
  if (state !== shown) { shown = state; socket.presence(state); }
}
