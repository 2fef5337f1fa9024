// The day sheet: lift a block with the pointer, or with M and the arrows; it lands at once and can be taken back with Z.
// E and M M open a form beside the sheet. J and K walk the blocks in order of time. The server decides: a refused move puts the block back and says why.
import { say, send } from "./app.js";

const LONG_PRESS_MS = 350, QUOTE_MS = 160;
// In steps; an hour is not said.
const length = (el) => Number(el.dataset.len ?? 4);
const typing = (el) => el?.closest?.("input, textarea, select, [contenteditable=true]");

export function start(scope) {
  const days = [...scope.querySelectorAll(".day[data-move-url]")];
  if (scope.matches?.(".day[data-move-url]")) days.push(scope);
  for (const day of days) {
    if (day.dataset.lively !== undefined) continue;
    day.dataset.lively = "";
    new Sheet(day);
  }
}

class Sheet {
  constructor(day) {
    this.day = day;
    this.lift = null;
    this.press = null;
    this.wall = new Intl.DateTimeFormat("en-GB", { timeZone: day.dataset.tz, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    day.toggleAttribute("data-touch", matchMedia("(pointer: coarse)").matches);
    day.addEventListener("pointerdown", (e) => this.down(e));
    day.addEventListener("pointermove", (e) => this.move(e));
    day.addEventListener("pointerup", (e) => this.up(e));
    day.addEventListener("pointercancel", () => this.cancel());
    day.addEventListener("click", (e) => { if (this.swallow) { e.preventDefault(); e.stopPropagation(); this.swallow = false; } }, true);
    day.addEventListener("dragstart", (e) => e.preventDefault());
    this.onKey = (e) => this.key(e);
    document.addEventListener("keydown", this.onKey, true);
  }

  get columns() { return [...this.day.querySelectorAll(".day__col")]; }
  get steps() { return Number(this.day.dataset.steps); }
  place(column) { return column.id.slice(this.day.id.length + 1); }
  get step_px() { return this.columns[0].getBoundingClientRect().height / this.steps; }

  // ── lifting ────────────────────────────────────────────────────────────────
  begin(bk, grabbed_steps = 0) {
    const drop = document.createElement("div");
    drop.className = "day__drop";
    this.lift = {
      bk, drop, grabbed_steps, home: bk.parentElement,
      column: bk.closest(".day__col"), at: Number(bk.dataset.at), len: length(bk),
      from: { column: bk.closest(".day__col"), at: Number(bk.dataset.at) }, ok: true, text: "",
    };
    bk.classList.add("bk--lift");
    bk.setAttribute("aria-grabbed", "true");
    this.day.dataset.lifting = "";
    const flag = document.createElement("span");
    flag.className = "bk__when";
    bk.prepend(flag);
    this.lift.flag = flag;
    this.to(this.lift.column, this.lift.at);
  }

  clock(at) {
    const moment = new Date(Date.parse(this.day.dataset.first) + at * 15 * 60_000);
    return { iso: moment.toISOString(), text: this.wall.format(moment) };
  }

  to(column, at) {
    const l = this.lift;
    l.column = column;
    l.at = Math.min(Math.max(0, at), this.steps - l.len);
    l.prices = null; // what was said of another place is not said of this one
    l.drop.dataset.at = l.at;
    l.drop.dataset.len = l.len;
    column.append(l.drop);
    const where = this.day.dataset.saidAt.replace("__place__", () => column.ariaLabel).replace("__time__", this.clock(l.at).text);
    l.flag.textContent = where;
    l.drop.textContent = "";
    l.drop.removeAttribute("data-bad");
    say(where);
    this.check(column, l);
  }

  // Conflicts on the sheet are seen at once; prices and rules are asked of the server when the block rests.
  check(column, l) {
    const hit = [...column.querySelectorAll(".bk")].find((o) => {
      if (o === l.bk || ["cancelled", "expired", "declined"].includes(o.dataset.state)) return false;
      const a = Number(o.dataset.at), b = a + length(o);
      return a < l.at + l.len && l.at < b;
    });
    l.ok = !hit;
    if (hit) this.refuse(hit.querySelector("bdi")?.textContent ?? "");
    clearTimeout(l.asking);
    if (!hit && this.day.dataset.quoteUrl) l.asking = setTimeout(() => this.quote(l, column, l.at), QUOTE_MS);
  }

  refuse(why) {
    this.lift.drop.dataset.bad = "";
    this.lift.drop.textContent = why;
    this.lift.ok = false;
    say(why);
  }

  async quote(l, column, at) {
    const query = new URLSearchParams({ booking_id: l.bk.value, resource_id: this.place(column), start: this.clock(at).iso });
    try {
      const answer = await fetch(`${this.day.dataset.quoteUrl}?${query}`, { headers: { Accept: "application/json" }, credentials: "same-origin" });
      if (!answer.ok || this.lift !== l || l.at !== at || l.column !== column) return;
      const told = await answer.json();
      if (told.ok) l.prices = told.prices;
      if (!told.ok) this.refuse(told.text);
      else if (told.text) { l.flag.textContent += ` · ${told.text}`; say(told.text); }
    } catch { /* without an answer the drop itself decides */ }
  }

  settle() {
    const l = this.lift;
    clearTimeout(l.asking);
    l.drop.remove();
    l.flag.remove();
    l.bk.classList.remove("bk--lift", "bk--drag");
    l.bk.removeAttribute("aria-grabbed");
    l.bk.style.removeProperty("translate");
    delete this.day.dataset.lifting;
    this.lift = null;
    return l;
  }

  cancel() {
    clearTimeout(this.press?.timer);
    this.press = null;
    if (this.lift) this.settle().bk.focus({ preventScroll: true });
  }

  async land() {
    const l = this.settle();
    const moved = l.column !== l.from.column || l.at !== l.from.at;
    const focus = () => document.querySelector(`.bk[value="${CSS.escape(l.bk.value)}"][data-move]`)?.focus({ preventScroll: true });
    if (!moved || !l.ok) { focus(); return; }
    this.put(l.bk, l.column, l.at);
    l.bk.dataset.saving = "";
    const result = await this.save(l.bk, l.column, l.at, l.prices);
    delete l.bk.dataset.saving;
    if (!result.ok) { this.put(l.bk, l.from.column, l.from.at); this.complain(l.bk, result.problem); }
    focus();
  }

  put(bk, column, at) {
    bk.dataset.at = at;
    document.getElementById(column.id)?.append(bk);
  }

  // The answer's HX-Trigger brings the toast with Undo; its fragments bring the new version.
  save(bk, column, at, prices) {
    return send(this.day.dataset.moveUrl, {
      booking_id: bk.value, resource_id: this.place(column), start: this.clock(at).iso, version: bk.dataset.move,
      ...(prices && { prices }),
    });
  }

  complain(bk, problem) {
    const note = document.createElement("div");
    note.className = "note";
    note.dataset.state = "no_show";
    note.setAttribute("role", "alert");
    note.textContent = problem.detail || problem.title || "";
    if (note.textContent) { this.day.before(note); setTimeout(() => note.remove(), 12_000); }
    say(note.textContent, true);
  }

  // ── pointer ────────────────────────────────────────────────────────────────
  down(e) {
    const bk = e.target.closest(".bk[data-move]");
    if (!bk || e.button !== 0 || this.lift) return;
    const top = bk.getBoundingClientRect().y;
    this.press = { bk, x: e.clientX, y: e.clientY, id: e.pointerId, grabbed: Math.floor((e.clientY - top) / this.step_px) };
    if (e.pointerType !== "mouse") this.press.timer = setTimeout(() => this.grab(), LONG_PRESS_MS);
  }

  grab() {
    const p = this.press;
    if (!p) return;
    p.bk.classList.add("bk--drag");
    this.day.setPointerCapture(p.id);
    this.begin(p.bk, p.grabbed);
  }

  move(e) {
    const p = this.press;
    if (!p || p.id !== e.pointerId) return;
    const far = Math.hypot(e.clientX - p.x, e.clientY - p.y) > 6;
    if (!this.lift) {
      if (!far) return;
      if (e.pointerType !== "mouse") { clearTimeout(p.timer); this.press = null; return; }
      this.grab();
    }
    e.preventDefault();
    this.lift.bk.style.translate = `${e.clientX - p.x}px ${e.clientY - p.y}px`;
    const column = this.columns.find((c) => { const r = c.getBoundingClientRect(); return e.clientX >= r.x && e.clientX < r.x + r.width; }) ?? this.lift.column;
    const at = Math.round((e.clientY - column.getBoundingClientRect().y) / this.step_px - this.lift.grabbed_steps - 0.5);
    if (column !== this.lift.column || at !== this.lift.at) this.to(column, at);
  }

  up(e) {
    clearTimeout(this.press?.timer);
    const dragged = this.press && this.lift && this.press.id === e.pointerId;
    this.press = null;
    if (!dragged) return;
    this.swallow = true;
    setTimeout(() => { this.swallow = false; });
    this.land();
  }

  // ── keys ───────────────────────────────────────────────────────────────────
  key(e) {
    if (!this.day.isConnected) { document.removeEventListener("keydown", this.onKey, true); return; }
    if (typing(e.target) || e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    if (this.lift) { this.steer(e); return; }
    const bk = document.activeElement?.closest?.(".bk");
    const key = e.key.toLowerCase();
    if (key === "m" && bk?.dataset.move !== undefined && this.day.contains(bk)) { stop(e); this.begin(bk); }
    else if (key === "e" && bk?.dataset.move !== undefined && this.day.contains(bk)) { stop(e); open(bk, "extend"); }
    else if ((key === "b" || key === "n") && document.activeElement?.matches?.(".day__add")) { stop(e); begin(document.activeElement, key); }
    else if ((key === "j" || key === "k") && !document.activeElement?.closest?.("[data-queue]")) { stop(e); this.next(bk, key === "j" ? 1 : -1); }
  }

  steer(e) {
    const l = this.lift;
    const columns = this.columns, i = columns.indexOf(l.column);
    const forward = getComputedStyle(this.day).direction === "rtl" ? -1 : 1;
    const beside = (n) => columns[Math.min(columns.length - 1, Math.max(0, i + n))];
    switch (e.key) {
      case "ArrowUp": stop(e); this.to(l.column, l.at - (e.shiftKey ? 4 : 1)); break;
      case "ArrowDown": stop(e); this.to(l.column, l.at + (e.shiftKey ? 4 : 1)); break;
      case "ArrowRight": stop(e); this.to(beside(forward), l.at); break;
      case "ArrowLeft": stop(e); this.to(beside(-forward), l.at); break;
      case "Enter": case " ": stop(e); this.land(); break;
      case "Escape": stop(e); this.cancel(); break;
      case "m": case "M": { stop(e); const { bk } = l; this.cancel(); open(bk, "move"); break; }
      default: return;
    }
    this.lift?.drop.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  next(bk, by) {
    const all = [...this.day.querySelectorAll(".bk")].sort((a, b) => a.dataset.at - b.dataset.at || (a.compareDocumentPosition(b) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1));
    const target = all[(all.indexOf(bk) + by + all.length) % all.length] ?? all[0];
    target?.focus();
    target?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
}

// Beside the sheet: the form for a block, or for a free hour.
const show = (url) => globalThis.htmx?.ajax("GET", url, { target: "#panel" }).then(() => history.pushState({}, "", url)) ?? location.assign(url);

const asked = (form, more) => `${form.action}?${new URLSearchParams({ ...Object.fromEntries(new FormData(form)), ...more })}`;

function open(bk, act) {
  show(asked(bk.form, { booking: bk.value, act }));
}

function begin(cell, key) {
  const [resource_id, at] = cell.value.split("@");
  show(asked(cell.form, { resource_id, at, [key === "b" ? "block" : "new"]: "1" }));
}

// The block whose panel is open is the chosen one.
document.addEventListener("htmx:afterSettle", (e) => {
  if (e.target.id !== "panel") return;
  const id = e.target.querySelector("[data-booking-panel]")?.dataset.bookingPanel;
  document.querySelectorAll('.bk[aria-selected="true"]').forEach((bk) => bk.removeAttribute("aria-selected"));
  if (id) document.querySelector(`.bk[value="${CSS.escape(id)}"]:not([data-state="block"])`)?.setAttribute("aria-selected", "true");
});

function stop(e) {
  e.preventDefault();
  e.stopPropagation();
}
