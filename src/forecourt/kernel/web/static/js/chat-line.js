// The page's one socket, for everything of chat on it. Several parts may follow one topic.
import { Socket } from "./socket.js";

const url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/v1/socket`;
const followed = new Map(), watchers = new Set();
let socket = null;

function line() {
  socket ??= new Socket({ url, onState: (state) => { for (const watcher of watchers) watcher(state === "open"); } });
  return socket;
}

/** Follow a topic: `event(frame)` in order, `reset()` when the state has to be read again, `gone()` when it may not be followed. */
export function follow(topic, follower) {
  const others = followed.get(topic);
  if (others) { others.push(follower); return; }
  const all = [follower];
  followed.set(topic, all);
  line().follow(topic, {
    since: follower.since ?? null,
    onEvent: (e) => { for (const one of all) one.event?.(e); },
    onReset: (at) => { for (const one of all) one.reset?.(at); },
    onGone: (code) => { for (const one of all) one.gone?.(code); },
  });
}

export const typing = (topic) => line().typing(topic);
export const presence = (state) => line().presence(state);

/** Hear whether there is a line, at every change. */
export function watch(watcher) {
  watchers.add(watcher);
  if (socket) watcher(socket.state === "open");
}

/** Says how far was read, if there is a line. */
export function read(topic, seq) {
  if (socket?.state !== "open") return false;
  socket.read(topic, seq);
  return true;
}
