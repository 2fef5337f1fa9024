// A room from the inside: takes over where the page leaves it, follows what happens, writes without waiting.
import { say } from "./app.js";
import { draw, el, face, fill, icon } from "./chat-draw.js";
import { follow, read, typing as tellTyping, watch } from "./line.js";
import { badge } from "./chat-badge.js";
import { refresh } from "./chat-list.js";
import { after } from "./chat-scene.js";
import { day, localise, near, sameDay, time } from "./chat-times.js";

const boot = JSON.parse(document.getElementById("boot").textContent);
const { texts, me } = boot, roomId = boot.room_id, topic = `room:${roomId}`;
const $ = (id) => document.getElementById(id);
const log = $("log"), scroller = $("scroll"), form = $("compose"), text = $("text"), main = $("main"), threadLog = $("thread-log");
const TOGETHER_MS = 300_000, TYPING_MS = 5_000, TOLD_MS = 3_000, NEAR_PX = 80, PAGE = 50;
const ANSWER_MS = 20_000, AGAIN_MS = 2_000, AGAIN_MOST_MS = 30_000;
const EMOJI = ["👍", "❤️", "😂", "🎾", "🙏", "🎉", "👀", "✅", "😮", "😢"];
const KEPT = `chat-unsent-${roomId}`;

const scene = {
  room: { archived: boot.archived }, members: new Map(boot.members.map((m) => [m.account_id, m])),
  messages: new Map(boot.messages.map((m) => [m.id, m])), pins: new Set(boot.messages.filter((m) => m.pinned).map((m) => m.id)),
};
const people = new Map(Object.entries(boot.people));
const readers = new Map(Object.entries(boot.readers));
const elsewhere = new Map(); // messages that are quoted and not on the page
const pending = new Map(); // client_id → {client_id, text, reply_to, attachments, state}
let readSeq = boot.read_seq, newer = boot.newer, unseen = 0, answering = null, editing = null, markedAt = null, version = 0;
const csrf = () => document.querySelector('meta[name="csrf-token"]').content;
const who = (id) => people.get(id) ?? { id, name: texts.someone, initials: "?", tint: 1, handle: "", presence: "" };

// --- the server ------------------------------------------------------------------------------------------------------

async function ask(method, path, body) {
  const answer = await fetch(path, {
    signal: AbortSignal.timeout(ANSWER_MS), method, credentials: "same-origin", headers: { Accept: "application/json", "Content-Type": "application/json", "X-CSRF-Token": csrf() },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const said = answer.status === 204 ? null : await answer.json().catch(() => null);
  if (!answer.ok) throw Object.assign(new Error(said?.detail || said?.title || ""), { status: answer.status, problem: said });
  return said;
}

/** Names of people the page does not know yet. */
async function meet(ids) {
  const unknown = [...new Set(ids)].filter((id) => !people.has(id));
  await Promise.all(unknown.slice(0, 20).map(async (id) => {
    try {
      const p = await ask("GET", `/v1/people/${id}`);
      introduce(id, p.name, p.handle);
    } catch (e) { if (e.status === 404) introduce(id, texts.erased); /* else somebody */ }
  }));
}
function introduce(id, name, handle) {
  const words = name.split(/\s+/).filter(Boolean);
  const initials = ((words[0]?.[0] ?? "?") + (words.length > 1 ? words.at(-1)[0] : "")).toUpperCase();
  people.set(id, { id, name, initials, tint: people.get(id)?.tint ?? (parseInt(id.slice(-2), 16) % 6) + 1, handle: handle ?? "", presence: "" });
}

// --- drawing ---------------------------------------------------------------------------------------------------------

const plain = (s) => s.replace(/@\[([^\]]+)\]\([^)]*\)/g, "@$1").replace(/[*_~`>]/g, "").replace(/\s+/g, " ").trim();

function context(m, place = "m", more = false) {
  return {
    roomId, kind: boot.kind, me, texts, who, more, place, writable: Boolean(boot.role) && !scene.room.archived && place === "m",
    quote(message) {
      const parent = message.reply_to && (scene.messages.get(message.reply_to) ?? elsewhere.get(message.reply_to));
      return parent && place === "m" ? { seq: parent.seq, name: who(parent.sender_id).name, text: parent.deleted ? texts.deleted : plain(parent.text).slice(0, 120) } : null;
    },
    readBy: (message) => [...readers].filter(([id, seq]) => id !== me && seq >= message.seq).length,
  };
}

const together = (before, m) => before && before.dataset.sender === m.sender_id && sameDay(before.dataset.at, m.created_at)
  && new Date(m.created_at) - new Date(before.dataset.at) < TOGETHER_MS;
const last = () => [...log.querySelectorAll(".msg")].at(-1);
const before = (node) => { let n = node.previousElementSibling; while (n?.classList.contains("thread__sys")) n = n.previousElementSibling; return n?.classList.contains("msg") ? n : null; };

/** A message is drawn again in its place, or at the end when it is new. */
function show(m) {
  const old = (m.seq && $(`m-${m.seq}`)) || (m.client_id && m.sender_id === me && $(`c-${m.client_id}`));
  if (old) {
    const fresh = draw(m, context(m, "m", old.classList.contains("msg--more")));
    const focused = old.contains(document.activeElement);
    old.replaceWith(fresh);
    if (focused) fresh.focus({ preventScroll: true });
    return fresh;
  }
  if (m.seq && newer) return null;
  $("hello")?.remove();
  const at = last();
  if (!at || !sameDay(at.dataset.at, m.created_at)) log.append(el("p", { class: "thread__day", "data-day": m.created_at }, day(m.created_at, texts)));
  const node = draw(m, context(m, "m", together(log.lastElementChild?.classList.contains("msg") ? at : null, m)));
  const below = m.state ? null : standsBefore(m.seq);
  if (below) below.before(node); else log.append(node);
  return node;
}

/** What an arriving message stands above: one of a later number, sent while the line was away and answered before the line was
 *  back; else what is still on its way. */
function standsBefore(seq) {
  let below = log.querySelector(".msg[data-state]");
  for (const node of [...log.querySelectorAll(".msg[data-seq]")].reverse()) {
    if (Number(node.dataset.seq) <= seq) break;
    below = node;
  }
  return below;
}

function redraw(ids) {
  for (const id of ids) {
    const m = scene.messages.get(id);
    if (!m) { for (const node of document.querySelectorAll(`.msg[data-id="${id}"]`)) node.remove(); continue; }
    show(m);
    drawInThread(m);
  }
}

function drawInThread(m) {
  if (!threadLog || (m.thread_id !== threadLog.dataset.thread && m.id !== threadLog.dataset.thread)) return;
  const node = draw(m, context(m, "t")), old = $(`t-${m.seq}`);
  if (old) old.replaceWith(node);
  else { threadLog.append(node); threadLog.parentElement.scrollTop = threadLog.parentElement.scrollHeight; }
}

const nearEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < NEAR_PX;
const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };

function jump() {
  const button = $("to-latest");
  button.hidden = nearEnd() && !newer;
  button.toggleAttribute("data-new", unseen > 0);
  button.querySelector("span").textContent = unseen ? fill(texts.new_messages, { n: unseen }) : texts.latest;
}

function system(line, about) {
  const stay = nearEnd();
  log.append(el("p", { class: "thread__sys", "data-about": about }, line));
  if (stay) toEnd();
}

// --- what happens ----------------------------------------------------------------------------------------------------

async function happened({ type, data }) {
  if (type === "typing") { if (data.account_id !== me) { here(data.account_id); typing(data.account_id); } return; }
  if (type === "read") { hasRead(data); return; }
  if (type === "presence.changed") { present(data); return; }
  const stay = nearEnd(), fresh = type === "message.created" && !scene.messages.has(data.message.id);
  if (type === "message.created") await meet([data.message.sender_id]);
  if (type === "member.joined") await meet([data.member.account_id]);
  if (fresh && data.message.reply_to && !scene.messages.has(data.message.reply_to)) await quoted([data.message]);
  const touched = after(scene, type, data);
  if (type === "message.created") {
    if (data.message.sender_id === me) settle(data.message.client_id);
    else { hush(data.message.sender_id); here(data.message.sender_id); }
  }
  if (type === "member.forgotten") forgotten(data.account_id);
  redraw(type === "message.deleted" || type === "member.forgotten" ? [...touched, ...quoting()] : touched);
  if (fresh) arrived(data.message, stay);
  if (type === "member.joined" && data.member.account_id !== me) system(fill(texts.joined, { name: who(data.member.account_id).name }), data.member.account_id);
  if (type === "member.left") { if (data.account_id === me) location.assign("/chat"); else system(fill(texts.left, { name: who(data.account_id).name }), data.account_id); }
  if (type === "room.changed") renamed(data.room);
  if (["message.pinned", "message.unpinned", "member.forgotten"].includes(type)) pins();
  jump();
}

/** Somebody was erased: nothing here says any longer who it was. */
function forgotten(id) {
  introduce(id, texts.erased);
  hush(id);
  readers.delete(id);
  for (const node of document.querySelectorAll(`#people [data-member="${id}"], .thread__sys[data-about="${id}"]`)) node.remove();
  for (const m of elsewhere.values()) if (m.sender_id === id) Object.assign(m, { text: "", html: "", deleted: true });
  refresh();
}
/** Messages that show words of another one. */
const quoting = () => [...scene.messages.values()].filter((m) => m.reply_to).map((m) => m.id);

function arrived(m, stay) {
  if (m.sender_id === me) { if (stay) toEnd(); return; }
  if (!markedAt && (document.hidden || !stay) && !newer) mark(m);
  if (stay && !document.hidden) { toEnd(); seen(); } else unseen += 1;
  if (document.hidden) document.title = `(${unseen}) ${document.title.replace(/^\(\d+\) /, "")}`;
  refresh();
}

/** The line before the first that was not read; it stays until the reader leaves. */
function mark(m) {
  if ($("new")) return;
  markedAt = m.seq;
  $(`m-${m.seq}`)?.before(el("p", { class: "thread__new", role: "separator", id: "new" }, el("span", {}, fill(texts.new_since, { time: time(m.created_at) }))));
}

/** A name that follows a booking is worded by the house, for each reader in their language; of two answers the later counts. */
async function renamed(room) {
  if (room.archived !== boot.archived) { location.reload(); return; }
  const told = room.subject ? await ask("GET", `/v1/rooms/${roomId}`).catch(() => null) : { title: room.name, version: room.version };
  if (!told?.title || told.version < version) return;
  version = told.version;
  for (const node of [$("room-title"), document.querySelector(`#room-${roomId} b`), document.querySelector(".topbar > b")]) if (node) node.textContent = told.title;
  $("talk").setAttribute("aria-label", told.title);
  if (text) text.placeholder = fill(texts.message_to, { name: told.title });
  const [, unread, rest] = /^(\(\d+\) )?.*?( · [^·]*)$/.exec(document.title) ?? [];
  document.title = `${unread ?? ""}${told.title}${rest ?? ""}`;
}

async function again() {
  // Too much was missed, or numbering began anew: the page reads the room afresh and keeps what is not sent.
  location.replace(location.pathname);
}

// --- reading ---------------------------------------------------------------------------------------------------------

let readTimer = 0;
function seen() {
  if (!boot.role || document.hidden) return;
  const end = newer ? [...log.querySelectorAll(".msg[data-seq]")].filter((n) => n.getBoundingClientRect().top < scroller.getBoundingClientRect().bottom).at(-1) : last();
  const seq = Number(nearEnd() || newer ? end?.dataset.seq ?? 0 : 0);
  if (nearEnd()) { unseen = 0; document.title = document.title.replace(/^\(\d+\) /, ""); }
  if (!seq || seq <= readSeq) return;
  readSeq = seq;
  clearTimeout(readTimer);
  readTimer = setTimeout(async () => {
    if (!read(topic, readSeq)) await ask("PUT", `/v1/rooms/${roomId}/read`, { seq: readSeq }).catch(() => {});
    const row = $(`room-${roomId}`);
    row?.removeAttribute("data-unread");
    row?.querySelector(".count")?.remove();
    setTimeout(badge, 300);
  }, 250);
}

/** Somebody has read so far, or (0) shows it no longer; or I have, on another device. */
function hasRead({ account_id: id, seq }) {
  if (id === me) {
    if (seq > readSeq) { readSeq = seq; refresh(); setTimeout(badge, 300); }
    return;
  }
  if (seq) { here(id); readers.set(id, Math.max(readers.get(id) ?? 0, seq)); } else readers.delete(id);
  receipts();
}

/** How far others have read is not kept among what happens: after a lost connection it is asked for. */
async function reread() {
  if (!boot.receipts) return;
  const room = await ask("GET", `/v1/rooms/${roomId}`).catch(() => null);
  if (!room) return;
  readers.clear();
  for (const r of room.readers) readers.set(r.account_id, r.read_seq);
  receipts();
}

function receipts() {
  for (const node of [...log.querySelectorAll(".msg--me[data-seq]")].slice(-20)) {
    const m = scene.messages.get(node.dataset.id);
    if (m) show(m);
  }
}

// --- who is here -----------------------------------------------------------------------------------------------------

const typers = new Map();
function typing(id) {
  clearTimeout(typers.get(id));
  typers.set(id, setTimeout(() => hush(id), TYPING_MS));
  sayTyping();
}
function hush(id) { clearTimeout(typers.get(id)); if (typers.delete(id)) sayTyping(); }
function sayTyping() {
  const names = [...typers.keys()].map((id) => who(id).name.split(" ")[0]), line = $("typing");
  line.hidden = !names.length;
  line.querySelector("span[aria-live]").textContent = !names.length ? "" : names.length === 1 ? fill(texts.typing_one, { name: names[0] })
    : names.length === 2 ? fill(texts.typing_two, { name: names[0], other: names[1] }) : texts.typing_many;
}

const DOTS = { online: "on", away: "away", offline: "off", dnd: "dnd" };
function present({ account_id: id, state, last_seen: seen }) {
  const dot = DOTS[state] ?? "off";
  if (people.has(id)) Object.assign(people.get(id), { presence: dot, seen });
  for (const node of document.querySelectorAll(`.avatar[data-who="${id}"]`)) if (!node.closest(".msg")) node.dataset.presence = dot;
  for (const node of document.querySelectorAll(`[data-state="${id}"]`)) node.textContent = texts[dot];
  hereNow();
}
/** Who does something is here, whatever was heard of them before. */
function here(id) { if (!["on", "away", "dnd"].includes(people.get(id)?.presence)) present({ account_id: id, state: "online" }); }
function hereNow() {
  if (boot.kind === "direct") {
    const other = [...scene.members.keys()].find((id) => id !== me);
    const { presence: state, seen } = people.get(other) ?? {};
    if (state) $("room-sub").textContent = state === "off" && seen ? fill(texts.last_seen, { time: near(seen) }) : texts[state];
    return;
  }
  const n = [...scene.members.keys()].filter((id) => ["on", "away", "dnd"].includes(people.get(id)?.presence)).length;
  const sub = $("room-sub");
  sub.dataset.all ??= sub.textContent;
  sub.textContent = n ? `${sub.dataset.all} · ${fill(texts.here_now, { n })}` : sub.dataset.all;
}

// --- writing ---------------------------------------------------------------------------------------------------------

function keep() {
  const left = [...pending.values()].map(({ client_id, text: words, reply_to, attachments }) => ({ client_id, text: words, reply_to, attachments }));
  if (left.length) sessionStorage.setItem(KEPT, JSON.stringify(left)); else sessionStorage.removeItem(KEPT);
}

function settle(clientId) { if (pending.delete(clientId)) keep(); }

function write(words, replyTo, attachments) {
  const m = {
    client_id: crypto.randomUUID(), sender_id: me, text: words, html: "", created_at: new Date().toISOString(), reply_to: replyTo, attachments,
    reactions: [], mentions: [], replies: 0, state: "sending", seq: 0,
  };
  pending.set(m.client_id, m);
  keep();
  if (newer) { location.assign(`/chat/${roomId}`); return; }
  show(m);
  toEnd();
  send(m);
}

let sending = Promise.resolve();
/** One after the other, so that what was written first is read first. */
function send(m) { sending = sending.then(() => attempt(m)); return sending; }

async function attempt(m) {
  if (!pending.has(m.client_id)) return;
  m.state = "sending"; m.fault = "";
  show(m);
  try {
    const sent = await ask("POST", `/v1/rooms/${roomId}/messages`, {
      client_id: m.client_id, text: m.text, reply_to: m.reply_to, attachment_ids: m.attachments.map((a) => a.id),
    });
    settle(m.client_id);
    pause = 0;
    if (!scene.messages.has(sent.id)) scene.messages.set(sent.id, sent);
    show(scene.messages.get(sent.id));
    drawInThread(scene.messages.get(sent.id));
    // What arrived while it was on its way stands where its number says.
    inOrder($(`m-${sent.seq}`));
    if (readSeq < sent.seq && nearEnd()) seen();
    refresh();
  } catch (e) {
    m.state = "failed";
    m.fault = e.status && e.status < 500 ? e.message : "";
    show(m);
    if (m.fault || !m.told) say(m.fault || texts.not_sent, true);
    m.told = true;
    if (!m.fault) retryLater();
  }
}

function inOrder(node) {
  if (!node) return;
  let at = node;
  while (at.nextElementSibling?.matches?.(".msg[data-seq]") && Number(at.nextElementSibling.dataset.seq) < Number(node.dataset.seq)) at = at.nextElementSibling;
  if (at !== node) at.after(node);
}

/** What got no answer is sent again: when the line is back, and now and then while nobody knows that it was away. What was
 *  refused waits for its writer. */
const retry = () => { for (const m of pending.values()) if (m.state === "failed" && !m.fault) send(m); };
let pause = 0, retrying = 0;
function retryLater() {
  clearTimeout(retrying);
  pause = Math.min(AGAIN_MOST_MS, Math.max(AGAIN_MS, pause * 2));
  retrying = setTimeout(retry, pause * (0.75 + Math.random() / 2));
}

async function submit() {
  const words = text.value.trim();
  if (editing) { await saveEdit(words); return; }
  if (uploads.some((u) => u.busy)) return;
  const attachments = uploads.filter((u) => u.card).map((u) => u.card);
  if (!words && !attachments.length) return;
  write(words, answering?.id ?? null, attachments);
  uploads.length = 0; drawUploads();
  text.value = "";
  forget();
}

function about(line, focus = true) {
  const box = $("about");
  box.hidden = false;
  box.querySelector("span").replaceChildren(...line);
  if (focus) text.focus();
}
function answer(m) {
  answering = m; editing = null;
  about([el("b", {}, fill(texts.replying, { name: who(m.sender_id).name })), ` ${plain(m.text).slice(0, 120)}`]);
}
function edit(m) {
  editing = m; answering = null;
  text.value = m.text;
  about([texts.editing]);
  text.setSelectionRange(text.value.length, text.value.length);
}
function forget() {
  if (editing) text.value = "";
  answering = editing = null;
  $("about").hidden = true;
  $("say-fault").textContent = "";
}
async function saveEdit(words) {
  const m = editing;
  try {
    const changed = await ask("PATCH", `/v1/messages/${m.id}`, { text: words });
    scene.messages.set(m.id, changed);
    redraw([m.id]);
    forget();
  } catch (e) { $("say-fault").textContent = e.message; }
}

// --- files and voice -------------------------------------------------------------------------------------------------

const uploads = [];
function drawUploads() {
  $("files").replaceChildren(...uploads.map((u) => {
    const shut = el("button", { type: "button", class: "btn btn--quiet btn--s btn--icon", "aria-label": texts.cancel }, icon("x"));
    shut.addEventListener("click", () => { uploads.splice(uploads.indexOf(u), 1); drawUploads(); });
    return el("span", { class: "chip--file", "aria-busy": u.busy ? "true" : "false", "data-bad": u.fault ? "" : null, title: u.fault }, el("span", { class: "clip" }, u.fault || u.name), shut);
  }));
}
async function upload(file, name = file.name) {
  const u = { name, busy: true, fault: "", card: null };
  uploads.push(u);
  drawUploads();
  const body = new FormData();
  body.append("file", file, name);
  try {
    const answered = await fetch("/v1/uploads", { method: "POST", body, credentials: "same-origin", headers: { "X-CSRF-Token": csrf(), Accept: "application/json" } });
    const card = await answered.json();
    if (!answered.ok) throw new Error(card.detail || card.title);
    u.card = { id: card.id, kind: card.kind, type: card.type, name: card.name, bytes: card.bytes, width: card.width, height: card.height };
  } catch (e) { u.fault = e.message || texts.upload_failed; say(u.fault, true); }
  u.busy = false;
  drawUploads();
  return u;
}

let recorder = null;
async function record(button) {
  if (recorder) { recorder.stop(); return; }
  let stream;
  try { stream = await navigator.mediaDevices.getUserMedia({ audio: true }); } catch (e) { $("say-fault").textContent = e.message; return; }
  const chunks = [], kind = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"].find((t) => MediaRecorder.isTypeSupported(t));
  recorder = new MediaRecorder(stream, kind ? { mimeType: kind } : {});
  button.setAttribute("aria-pressed", "true");
  say(texts.recording);
  $("say-fault").textContent = texts.recording;
  recorder.addEventListener("dataavailable", (e) => chunks.push(e.data));
  recorder.addEventListener("stop", async () => {
    stream.getTracks().forEach((t) => t.stop());
    button.setAttribute("aria-pressed", "false");
    $("say-fault").textContent = "";
    const type = recorder.mimeType.split(";")[0];
    recorder = null;
    const u = await upload(new Blob(chunks, { type }), `voice.${type.endsWith("mp4") ? "m4a" : type.split("/")[1]}`);
    if (u.card && !text.value.trim()) submit();
  });
  recorder.start();
}

// --- mentions --------------------------------------------------------------------------------------------------------

let chosen = 0;
function suggest() {
  const box = $("suggest"), typed = text.value.slice(0, text.selectionStart).match(/(?:^|\s)@([\p{L}\w]{0,30})$/u);
  const found = !typed ? [] : [...scene.members.keys()].filter((id) => id !== me).map(who)
    .filter((p) => p.name.toLowerCase().split(" ").some((w) => w.startsWith(typed[1].toLowerCase())) || p.handle.toLowerCase().startsWith(typed[1].toLowerCase())).slice(0, 6);
  box.hidden = !found.length;
  chosen = 0;
  box.replaceChildren(...found.map((p, i) => {
    const item = el("li", { role: "option", id: `s-${i}`, "aria-selected": i === 0 ? "true" : "false" }, face(p, "s"), el("span", {}, p.name), p.handle ? el("span", { class: "dim" }, `@${p.handle}`) : "");
    item.addEventListener("pointerdown", (e) => { e.preventDefault(); choose(p); });
    item.person = p;
    return item;
  }));
  if (found.length) text.setAttribute("aria-activedescendant", "s-0"); else text.removeAttribute("aria-activedescendant");
}
function choose(p) {
  const at = text.selectionStart, head = text.value.slice(0, at).replace(/@[\p{L}\w]{0,30}$/u, p.handle ? `@${p.handle} ` : `@[${p.name}](${p.id}) `);
  text.value = head + text.value.slice(at);
  text.setSelectionRange(head.length, head.length);
  $("suggest").hidden = true;
}
function step(by) {
  const items = [...$("suggest").children];
  chosen = (chosen + by + items.length) % items.length;
  items.forEach((item, i) => item.setAttribute("aria-selected", String(i === chosen)));
  text.setAttribute("aria-activedescendant", `s-${chosen}`);
}

// --- what the reader does --------------------------------------------------------------------------------------------

function picker(anchor, children) {
  document.querySelector(".picker")?.remove();
  const box = el("div", { class: "picker", role: "menu" }, ...children);
  const msg = anchor.closest(".msg");
  msg.dataset.open = "";
  document.body.append(box);
  const r = anchor.getBoundingClientRect(), b = box.getBoundingClientRect();
  box.style.setProperty("inset-block-start", `${Math.max(8, Math.min(innerHeight - b.height - 8, r.bottom + 4))}px`);
  box.style.setProperty("inset-inline-start", `${Math.max(8, Math.min(innerWidth - b.width - 8, document.dir === "rtl" ? innerWidth - r.right : r.left))}px`);
  box.querySelector("button")?.focus();
  const shut = (e) => {
    if (e.type === "keydown" && e.key !== "Escape") return;
    if (e.type === "pointerdown" && box.contains(e.target)) return;
    box.remove(); delete msg.dataset.open;
    document.removeEventListener("pointerdown", shut); document.removeEventListener("keydown", shut);
    if (e.type === "keydown") anchor.focus();
  };
  document.addEventListener("pointerdown", shut); document.addEventListener("keydown", shut);
  box.shut = () => shut({ type: "pointerdown", target: document.body });
  return box;
}

function emoji(anchor, m) {
  picker(anchor, EMOJI.map((e) => {
    const button = el("button", { type: "button", role: "menuitem" }, e);
    button.addEventListener("click", () => { document.querySelector(".picker").shut(); react(m, e); });
    return button;
  }));
}

async function react(m, e) {
  const mine = m.reactions.some((r) => r.emoji === e && r.account_ids.includes(me));
  redraw(after(scene, mine ? "reaction.removed" : "reaction.added", { message_id: m.id, emoji: e, account_id: me }));
  try { await ask(mine ? "DELETE" : "PUT", `/v1/messages/${m.id}/reactions/${encodeURIComponent(e)}`); } catch (fault) {
    redraw(after(scene, mine ? "reaction.added" : "reaction.removed", { message_id: m.id, emoji: e, account_id: me }));
    say(fault.message, true);
  }
}

function more(anchor, m) {
  const moderates = boot.role === "owner" || boot.role === "moderator", mine = m.sender_id === me;
  const act = (name, label, does, bad = false) => {
    const button = el("button", { type: "button", role: "menuitem", class: `picker__act${bad ? " picker__act--bad" : ""}` }, icon(name), label);
    button.addEventListener("click", () => { document.querySelector(".picker").shut(); does(); });
    return button;
  };
  const choices = [act("chat", texts.thread, () => openThread(m)), act("note", texts.copy, () => navigator.clipboard?.writeText(m.text).then(() => say(texts.copied)))];
  if (boot.kind !== "channel" || moderates) choices.push(act("pinned", m.pinned ? texts.unpin : texts.pin, () => pin(m)));
  if (mine) choices.push(act("list", texts.edit, () => edit(m)));
  if (m.previews?.length && (mine || moderates)) choices.push(act("offline", texts.unpreview, () => unpreview(m)));
  if (mine || moderates) choices.push(el("hr"), act("x", texts.delete, () => erase(m), true));
  picker(anchor, choices);
}

async function pin(m) {
  try { await ask(m.pinned ? "DELETE" : "PUT", `/v1/rooms/${roomId}/pins/${m.id}`); } catch (e) { say(e.message, true); }
}
async function unpreview(m) {
  try { await ask("DELETE", `/v1/messages/${m.id}/previews`); redraw(after(scene, "message.previewed", { id: m.id, previews: [] })); } catch (e) { say(e.message, true); }
}
async function erase(m) {
  if (!confirm(texts.delete_sure)) return;
  try { await ask("DELETE", `/v1/messages/${m.id}`); redraw(after(scene, "message.deleted", { id: m.id })); } catch (e) { say(e.message, true); }
}
const openThread = (m) => location.assign(`/chat/${roomId}?thread=${m.thread_id ?? m.id}`);

async function pins() {
  try {
    const found = await ask("GET", `/v1/rooms/${roomId}/pins`);
    await meet(found.map((m) => m.sender_id));
    const box = $("pins");
    box.hidden = !found.length;
    for (const old of box.querySelectorAll(".pin")) old.remove();
    box.append(...found.map((m) => el("a", { class: "pin t14", href: `/chat/${roomId}?at=${m.seq}#m-${m.seq}`, "data-pin": m.id }, icon("pinned"),
      el("span", { class: "grow", dir: "auto" }, `${plain(m.text).slice(0, 160)} `, el("span", { class: "dim2" }, who(m.sender_id).name)))));
  } catch { /* the next look shows them */ }
}

async function moderate(button) {
  const item = button.closest("[data-member]"), id = item.dataset.member, action = button.dataset.mod;
  if (action !== "mute" && !confirm(fill(texts[`sure_${action}`], { name: who(id).name }))) return;
  try {
    await ask("POST", `/v1/rooms/${roomId}/moderation`, action === "mute" ? { action, account_id: id, minutes: 60 } : { action, account_id: id });
    if (action !== "mute") item.remove();
    item.querySelector("details")?.removeAttribute("open");
  } catch (e) { say(e.message, true); }
}

async function quoted(messages) {
  const missing = [...new Set(messages.map((m) => m.reply_to).filter((id) => id && !scene.messages.has(id) && !elsewhere.has(id)))];
  await Promise.all(missing.slice(0, 20).map(async (id) => {
    try { const t = await ask("GET", `/v1/messages/${id}/thread?limit=1`); if (t.first?.id === id) elsewhere.set(id, t.first); } catch { /* it is gone */ }
  }));
}

// Older and newer stretches join at their end of the page, and what the reader looks at stays where it is.
let fetching = false;
async function stretch(back) {
  const ends = [...log.querySelectorAll(".msg[data-seq]")], edge = back ? ends[0] : ends.at(-1);
  if (fetching || !edge || (!back && !newer) || (back && !$("older"))) return;
  fetching = true;
  try {
    const found = await ask("GET", `/v1/rooms/${roomId}/messages?${back ? "before_seq" : "after_seq"}=${edge.dataset.seq}&limit=${PAGE}`);
    await meet(found.items.map((m) => m.sender_id));
    await quoted(found.items);
    for (const m of found.items) scene.messages.set(m.id, m);
    if (back) {
      const from = scroller.scrollHeight - scroller.scrollTop, nodes = [];
      let prior = null;
      for (const m of found.items) {
        if (!prior || !sameDay(prior.dataset.at, m.created_at)) nodes.push(el("p", { class: "thread__day" }, day(m.created_at, texts)));
        prior = draw(m, context(m, "m", together(prior, m)));
        nodes.push(prior);
      }
      $("older").after(...nodes);
      if (!found.more) $("older").remove();
      scroller.scrollTop = scroller.scrollHeight - from;
    } else {
      newer = false;
      for (const m of found.items) show(m);
      newer = found.more;
    }
  } finally { fetching = false; jump(); }
}

document.addEventListener("click", (e) => {
  const act = e.target.closest("[data-act]"), node = e.target.closest(".msg"), m = node && scene.messages.get(node.dataset.id);
  const reaction = e.target.closest(".react");
  if (reaction && m && boot.role) { react(m, reaction.dataset.emoji); return; }
  const mod = e.target.closest("[data-mod]");
  if (mod) { moderate(mod); return; }
  const quote = e.target.closest(".quoted");
  if (quote) { const to = document.querySelector(quote.getAttribute("href")); if (!to) { e.preventDefault(); location.assign(`/chat/${roomId}?at=${quote.getAttribute("href").slice(3)}${quote.getAttribute("href")}`); } return; }
  if (e.target.closest("#older")) { e.preventDefault(); stretch(true); return; }
  if (!act) return;
  switch (act.dataset.act) {
    case "reply": if (m) { e.preventDefault(); answer(m); } break;
    case "react": if (m) emoji(act, m); break;
    case "more": if (m) more(act, m); break;
    case "forget": e.preventDefault(); forget(); break;
    case "again": { const p = [...pending.values()].find((one) => `c-${one.client_id}` === node.id); if (p) send(p); break; }
    case "latest": if (newer) location.assign(`/chat/${roomId}`); else { toEnd(); seen(); jump(); } break;
    case "details": details(); break;
    case "record": record(act); break;
    default: break;
  }
});

function details() {
  const wide = matchMedia("(min-width: 78.01rem)").matches;
  main.toggleAttribute(wide ? "data-nodetails" : "data-details");
  const shown = wide ? !main.hasAttribute("data-nodetails") : main.hasAttribute("data-details");
  document.querySelector(".talk [data-act=details]").setAttribute("aria-expanded", String(shown));
  if (shown && !wide) $("details").querySelector("button, a")?.focus();
}

if (form) {
  let toldAt = 0;
  form.addEventListener("submit", (e) => { e.preventDefault(); e.stopImmediatePropagation(); submit(); }, true);
  text.addEventListener("keydown", (e) => {
    const open = !$("suggest").hidden;
    if (open && (e.key === "ArrowDown" || e.key === "ArrowUp")) { e.preventDefault(); step(e.key === "ArrowDown" ? 1 : -1); return; }
    if (open && (e.key === "Enter" || e.key === "Tab")) { e.preventDefault(); choose($("suggest").children[chosen].person); return; }
    if (e.key === "Escape") { if (open) $("suggest").hidden = true; else forget(); return; }
    if (e.key === "Enter" && !e.shiftKey && !e.isComposing && matchMedia("(hover: hover)").matches) { e.preventDefault(); submit(); return; }
    if (e.key === "ArrowUp" && !text.value && !e.altKey) {
      const mine = [...log.querySelectorAll(".msg--me[data-id]")].map((n) => scene.messages.get(n.dataset.id)).filter((m) => m && !m.deleted).at(-1);
      if (mine) { e.preventDefault(); edit(mine); }
    }
  });
  text.addEventListener("input", () => {
    suggest();
    if (text.value && Date.now() - toldAt > TOLD_MS) { toldAt = Date.now(); tellTyping(topic); }
  });
  text.addEventListener("blur", () => setTimeout(() => { $("suggest").hidden = true; }, 150));
  $("pick").addEventListener("change", (e) => { for (const file of [...e.target.files].slice(0, 10)) upload(file); e.target.value = ""; });
  scroller.addEventListener("dragover", (e) => e.preventDefault());
  scroller.addEventListener("drop", (e) => { e.preventDefault(); for (const file of [...e.dataTransfer.files].slice(0, 10)) upload(file); });
  text.addEventListener("paste", (e) => { for (const file of e.clipboardData.files) upload(file); });
}

const threadForm = $("thread-say");
if (threadForm) {
  const field = threadForm.querySelector("textarea");
  const reply = () => { const words = field.value.trim(); if (words) { field.value = ""; write(words, threadLog.dataset.thread, []); } };
  threadForm.addEventListener("submit", (e) => { e.preventDefault(); e.stopImmediatePropagation(); reply(); }, true);
  field.addEventListener("keydown", (e) => { if (e.key === "Enter" && !e.shiftKey && !e.isComposing) { e.preventDefault(); reply(); } });
  threadLog.parentElement.scrollTop = threadLog.parentElement.scrollHeight;
}

// --- beginning -------------------------------------------------------------------------------------------------------

for (const node of document.querySelectorAll(".thread__day[data-day]")) node.textContent = day(node.dataset.day, texts);
// What the page drew gets the tools that need a script.
for (const node of log.querySelectorAll(".msg[data-id]")) { const m = scene.messages.get(node.dataset.id); if (m) { await quoted([m]); show(m); } }
localise();
const target = location.hash.startsWith("#m-") ? $(location.hash.slice(1)) : null;
if (target) { target.scrollIntoView({ block: "center" }); target.dataset.found = ""; }
else if ($("new") && boot.unread > 5) $("new").scrollIntoView({ block: "start" });
else toEnd();
markedAt = $("new") ? 1 : null;
if (markedAt) {
  const first = $("new").nextElementSibling;
  if (first?.dataset.at) $("new").querySelector("span").textContent = fill(texts.new_since, { time: sameDay(first.dataset.at, Date.now()) ? time(first.dataset.at) : day(first.dataset.at, texts) });
}
here(me);
for (const [id, seq] of readers) if (id === me) readSeq = Math.max(readSeq, seq);
hereNow();
jump();

for (const left of JSON.parse(sessionStorage.getItem(KEPT) ?? "[]")) {
  if ([...scene.messages.values()].some((m) => m.client_id === left.client_id)) continue;
  const m = { ...left, sender_id: me, html: "", created_at: new Date().toISOString(), reactions: [], mentions: [], replies: 0, seq: 0, state: "sending" };
  pending.set(m.client_id, m);
  show(m);
  send(m);
}
keep();

let order = Promise.resolve();
follow(topic, {
  since: { epoch: boot.epoch, seq: boot.seq },
  event: (frame) => { order = order.then(() => happened(frame)).catch(() => again()); },
  reset: again,
  gone: () => { if (boot.role) location.assign("/chat"); },
});
let lost = false, lineUp = false;
function connected(up) {
  const banner = $("offline");
  clearTimeout(banner.timer);
  if (up) { if (!banner.hidden) say(texts.back); banner.hidden = true; retry(); } else banner.timer = setTimeout(() => { banner.hidden = false; banner.querySelector("span").textContent = texts.offline; say(texts.offline); }, 1_200);
}
watch((up) => {
  if (up && lost) reread();
  lost = !up;
  lineUp = up;
  connected(up);
});
// The browser knows before the line does, which may outlive a short absence.
addEventListener("offline", () => connected(false));
addEventListener("online", () => connected(lineUp));
scroller.addEventListener("scroll", () => {
  if (scroller.scrollTop < 200) stretch(true);
  if (newer && scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 400) stretch(false);
  seen(); jump();
}, { passive: true });
document.addEventListener("visibilitychange", () => { if (!document.hidden) seen(); });
addEventListener("focus", seen);
seen();
document.documentElement.dataset.chat = "ready";
