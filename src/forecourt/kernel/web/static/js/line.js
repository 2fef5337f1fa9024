// The page's one socket, for whatever on it is live: the bell, chat, a room. Several parts may follow one topic.
// It says of the reader: here, or away when the page is not looked at.
import { Socket } from "./socket.js";

const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/socket`;
const followed = new Map(), watchers = new Set();
let socket = null, shown = "";

function line() {
  if (socket) return socket;
  socket = new Socket({ url, onState: (state) => { for (const watcher of watchers) watcher(state === "open", state); } });
  document.addEventListener("visibilitychange", show);
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

function show() {
  const state = document.hidden ? "away" : "online";
  if (state !== shown) { shown = state; socket.presence(state); }
}
