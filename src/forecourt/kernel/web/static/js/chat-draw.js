// A message as the page shows it: the same as the macro `message` of chat/_parts.html, made from what the server said.
import { time } from "./chat-times.js";

const el = (tag, attrs = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attrs)) {
    if (value === undefined || value === null || value === false) continue;
    // The server rendered and sanitised it; a document of its own runs nothing.
    if (name === "html") made.append(...new DOMParser().parseFromString(value, "text/html").body.childNodes);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return made;
};
export { el };

const drawn = document.querySelector("svg use"), sprite = drawn.getAttribute("href").split("#")[0], SVG = drawn.namespaceURI;
export function icon(name, small = true) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon${small ? " icon--s" : ""}${name === "reply" ? " icon--flip" : ""}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `${sprite}#${name}`);
  svg.append(use);
  return svg;
}

export const fill = (text, values) => text.replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

export function face(who, size = "") {
  return el("span", { class: `avatar${size && ` avatar--${size}`}`, "data-h": who.tint, "data-who": who.id, "aria-hidden": "true" }, who.initials);
}

const clockOf = (at) => el("time", { datetime: at, "data-local": "time" }, time(at));

function attachment(roomId, file, texts) {
  const href = `/chat/${roomId}/files/${file.id}`;
  if (file.kind === "image") {
    return el("a", { class: "att att--image", href, target: "_blank", rel: "noopener" },
      el("img", { src: `${href}?width=800`, alt: file.name || texts.attachment, loading: "lazy", width: file.width, height: file.height }));
  }
  if (file.kind === "audio") return el("audio", { class: "att att--audio", controls: true, preload: "none", src: href, "aria-label": texts.voice_note });
  if (file.kind === "video") return el("video", { class: "att att--video", controls: true, preload: "metadata", src: href });
  const kb = `${Math.ceil(file.bytes / 1024)} KB`;
  return el("a", { class: "att att--file", href, target: "_blank", rel: "noopener" }, icon("clip"), el("span", { class: "clip" }, file.name || texts.attachment), el("small", { class: "dim num" }, kb));
}

const linked = (p) => el("a", { class: "linked", href: p.url, target: "_blank", rel: "noopener noreferrer nofollow ugc" },
  el("small", { class: "clip", dir: "auto" }, p.site), el("b", { dir: "auto" }, p.title), p.about ? el("span", { dir: "auto" }, p.about) : "");

/** `context`: {roomId, kind, me, texts, who(id), quote(message), readBy(message), more, place, writable}. */
export function draw(m, context) {
  const { texts, me, place = "m" } = context;
  const mine = m.sender_id === me, who = context.who(m.sender_id);
  const body = el("div", { class: "msg__body" });
  if (m.deleted) body.append(el("p", { class: "bubble bubble--gone" }, texts.deleted));
  else {
    const bubble = el("div", { class: "bubble", dir: "auto" });
    const quote = context.quote(m);
    if (quote) bubble.append(el("a", { class: "quoted", href: `#m-${quote.seq}` }, el("b", {}, quote.name), ` ${quote.text}`));
    const said = m.html ? el("div", { class: "said", html: m.html }) : el("div", { class: "said" }, ...lines(m.text));
    for (const name of said.querySelectorAll(`.mention[data-account="${me}"]`)) name.classList.add("mention--me");
    bubble.append(said, ...m.attachments.map((file) => attachment(context.roomId, file, texts)));
    body.append(bubble, ...(m.previews ?? []).map(linked));
    if (m.reactions.length) {
      body.append(el("span", { class: "reacts" }, ...m.reactions.map((r) => el("button", {
        class: "react", type: "button", "data-emoji": r.emoji, "aria-pressed": String(r.account_ids.includes(me)),
        title: r.account_ids.slice(0, 20).map((id) => context.who(id).name).join(", "),
      }, `${r.emoji} ${r.account_ids.length}`))));
    }
  }
  body.append(meta(m, context, mine));
  const tools = !m.deleted && m.seq && context.writable
    ? el("div", { class: "msg__tools" }, tool("react", "thumb", texts.react), tool("reply", "reply", texts.reply), tool("more", "more", texts.more))
    : null;
  return el("article", {
    class: `msg${mine ? " msg--me" : ""}${context.more ? " msg--more" : ""}`, id: m.seq ? `${place}-${m.seq}` : `c-${m.client_id}`,
    "data-id": m.id, "data-seq": m.seq, "data-sender": m.sender_id, "data-at": m.created_at, "data-state": m.state, tabindex: "-1",
  }, mine ? null : face(who), el("p", { class: "msg__who" }, el("span", { dir: "auto" }, who.name), " ", clockOf(m.created_at)), body, tools);
}

const lines = (text) => text.split("\n").flatMap((line, i) => (i ? [el("br"), line] : [line]));
const tool = (act, name, label) => el("button", { type: "button", class: "btn btn--quiet btn--s btn--icon", "data-act": act, "aria-label": label }, icon(name));

function meta(m, context, mine) {
  const { texts } = context, line = el("span", { class: "msg__meta" });
  if (m.state === "failed") { line.classList.add("failed"); line.append(icon("warn"), ` ${m.fault || texts.not_sent} `, el("button", { type: "button", "data-act": "again" }, texts.again)); return line; }
  if (m.state === "sending") { line.append(clockOf(m.created_at), el("span", { class: "sr" }, texts.sending)); return line; }
  if (mine) line.append(clockOf(m.created_at));
  if (m.edited_at) line.append(el("span", { class: "edited" }, texts.edited));
  if (m.pinned) line.append(icon("pinned"), el("span", { class: "sr" }, texts.pinned));
  const n = mine && !m.deleted ? context.readBy(m) : 0;
  if (n) line.append(el("span", { class: "receipt" }, icon("check"), context.kind === "direct" ? texts.read : fill(texts.read_by, { n })));
  if (m.replies && context.place !== "t") line.append(el("a", { class: "replies", href: `/chat/${context.roomId}?thread=${m.id}`, "data-act": "thread" }, fill(texts.replies, { n: m.replies })));
  return line;
}
