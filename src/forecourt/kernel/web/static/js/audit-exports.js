// A file that takes a while: how much of it is here, a way to stop, and nothing saved that is not whole. Without this, the link
// is an ordinary download.
import { say } from "./app.js";

const SHOW_AFTER_MS = 400;
const NEWLINE = 10;
const box = document.querySelector("[data-exports]");

function linesIn(bytes) {
  let lines = 0;
  for (let at = bytes.indexOf(NEWLINE); at >= 0; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

const nameIn = (header) => /filename="([^"]+)"/.exec(header ?? "")?.[1] ?? "export";

function save(parts, type, name) {
  const href = URL.createObjectURL(new Blob(parts, { type }));
  Object.assign(document.createElement("a"), { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 60_000);
}

/** Everything `href` answers, in parts. `told(done, all)` hears how many lines came. Throws when it breaks off or is refused. */
async function take(href, signal, told) {
  const answer = await fetch(href, { credentials: "same-origin", signal });
  if (!answer.ok) throw new Error(String(answer.status));
  const all = Number(answer.headers.get("X-Total-Count"));
  const heads = answer.headers.get("Content-Type").startsWith("text/csv") ? 1 : 0;
  const parts = [];
  let lines = -heads;
  for (const reader = answer.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    lines += linesIn(value);
    told(Math.max(0, lines), all);
  }
  return { parts, lines, type: answer.headers.get("Content-Type"), name: nameIn(answer.headers.get("Content-Disposition")) };
}

async function run(link) {
  const state = box.querySelector("[data-export-state]"), bar = state.querySelector("progress");
  const words = state.querySelector('[role="status"]'), stop = state.querySelector("[data-export-stop]");
  const fault = box.querySelector("[data-export-fault]");
  const number = new Intl.NumberFormat(document.documentElement.lang);
  const fill = (text, done, all) => text.replace("__done__", number.format(done)).replace("__all__", number.format(all));
  const leaving = new AbortController();
  const halt = () => leaving.abort();
  const show = setTimeout(() => { state.hidden = false; }, SHOW_AFTER_MS);
  box.setAttribute("aria-busy", "true");
  words.textContent = fault.textContent = "";
  stop.addEventListener("click", halt);
  try {
    const file = await take(link.href, leaving.signal, (done, all) => {
      bar.max = Math.max(1, all);
      bar.value = done;
      if (!state.hidden) words.textContent = fill(box.dataset.saidSome, done, all);
    });
    save(file.parts, file.type, file.name);
    say(fill(box.dataset.saidDone, file.lines, file.lines));
  } catch {
    if (!leaving.signal.aborted) fault.textContent = box.dataset.saidFailed;
  } finally {
    clearTimeout(show);
    state.hidden = true;
    stop.removeEventListener("click", halt);
    box.removeAttribute("aria-busy");
  }
}

box?.addEventListener("click", (e) => {
  const link = e.target.closest("[data-export]");
  if (!link || e.ctrlKey || e.metaKey || e.shiftKey) return;
  e.preventDefault();
  if (box.getAttribute("aria-busy") !== "true") run(link);
});
