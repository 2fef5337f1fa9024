// The list of rooms, kept fresh: a hint on the person's own topic says that something waits, and the list is asked for again.
import { patch } from "./patch.js";
import { badge } from "./chat-badge.js";
import { follow } from "./line.js";
import { localise } from "./chat-times.js";

const SOON_MS = 250;
let timer = 0;

/** Ask for the list again, once for a burst. */
export function refresh() {
  if (timer) return;
  timer = setTimeout(async () => {
    timer = 0;
    const here = document.getElementById("boot");
    const room = here ? JSON.parse(here.textContent).room_id : "";
    try {
      const answer = await fetch(`/chat/parts/rooms${room ? `?thread=${room}` : ""}`, { headers: { "HX-Request": "true" } });
      if (answer.ok) { patch(await answer.text()); localise(document.getElementById("chat-rooms")); badge(); }
    } catch { /* the line says so, and comes back */ }
  }, SOON_MS);
}

follow("inbox", { event: (e) => { if (e.type === "chat.waiting") refresh(); } });
for (const row of document.querySelectorAll('.room[id^="room-"]')) {
  const id = row.id.slice(5);
  if (row.querySelector('use[href$="#chat"]') && !row.hasAttribute("aria-current")) follow(`room:${id}`, { event: (e) => { if (e.type === "message.created" || e.type === "member.forgotten") refresh(); } });
}

// Alt with an arrow walks the rooms.
document.addEventListener("keydown", (e) => {
  if (!e.altKey || (e.key !== "ArrowUp" && e.key !== "ArrowDown")) return;
  const rooms = [...document.querySelectorAll(".room")];
  const at = rooms.findIndex((r) => r.hasAttribute("aria-current"));
  const to = rooms[at + (e.key === "ArrowDown" ? 1 : -1)];
  if (to) { e.preventDefault(); to.click(); }
});
