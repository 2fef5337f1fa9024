// The number beside Chat in the bars, on every page of a signed-in person.
const SOON_MS = 300;
let timer = 0;

/** The number beside Chat in the bars is what calls for the reader. */
export async function badge() {
  try {
    const answer = await fetch("/v1/chat/unread", { headers: { Accept: "application/json" } });
    if (!answer.ok) return;
    const { waiting } = await answer.json();
    for (const link of document.querySelectorAll('.side a[href="/chat"], .tabbar a[href="/chat"]')) {
      let count = link.querySelector(".count");
      if (!waiting) { count?.remove(); continue; }
      if (!count) { count = document.createElement("span"); count.className = "count"; link.append(count); }
      count.textContent = waiting > 99 ? "99+" : String(waiting);
    }
  } catch { /* as above */ }
}

// The bell's module follows the person's own topic for all tabs, and says here that something came.
new BroadcastChannel("forecourt-inbox").addEventListener("message", () => {
  if (!timer) timer = setTimeout(() => { timer = 0; badge(); }, SOON_MS);
});
addEventListener("focus", badge);
badge();
