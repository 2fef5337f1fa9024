// Shows pushes while no page is open, and leads to what they are about.
self.addEventListener("push", (event) => {
  let said = {};
  try { said = event.data?.json() ?? {}; } catch { /* not ours */ }
  const rtl = said.lang === "ur";
  event.waitUntil(self.registration.showNotification(said.title ?? "Forecourt", {
    body: said.body ?? "", tag: said.id, lang: said.lang, dir: rtl ? "rtl" : "ltr", data: { href: said.href ?? "/notifications" },
  }));
});

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  const to = new URL(event.notification.data?.href ?? "/notifications", self.location.origin);
  // Only our own pages: a message must not lead elsewhere.
  const href = to.origin === self.location.origin ? to.href : `${self.location.origin}/notifications`;
  event.waitUntil((async () => {
    const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
    const tab = open.find((client) => client.url === href);
    return tab ? tab.focus() : self.clients.openWindow(href);
  })());
});
