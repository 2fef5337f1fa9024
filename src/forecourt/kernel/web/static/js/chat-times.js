// Times as the reader's clock has them: the server wrote them in UTC, for readers without a script.
const written = document.documentElement.lang || "en";
const lang = written === "en" ? "en-GB" : written; // the day before the month, as the server writes it
const clock = new Intl.DateTimeFormat(lang, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const weekday = new Intl.DateTimeFormat(lang, { weekday: "short" });
const short = new Intl.DateTimeFormat(lang, { day: "numeric", month: "short" });
const long = new Intl.DateTimeFormat(lang, { weekday: "long", day: "numeric", month: "long" });
const DAY_MS = 86_400_000;

export const time = (at) => clock.format(new Date(at));
const midnight = (d) => new Date(d.getFullYear(), d.getMonth(), d.getDate()).getTime();
export const sameDay = (a, b) => midnight(new Date(a)) === midnight(new Date(b));

/** As near as it is: a time today, a weekday this week, else a date. */
export function near(at, now = new Date()) {
  const days = Math.round((midnight(now) - midnight(new Date(at))) / DAY_MS);
  if (days <= 0) return time(at);
  return days < 7 ? weekday.format(new Date(at)) : short.format(new Date(at));
}

export function day(at, texts = {}) {
  const days = Math.round((midnight(new Date()) - midnight(new Date(at))) / DAY_MS);
  if (days === 0 && texts.today) return texts.today;
  if (days === 1 && texts.yesterday) return texts.yesterday;
  return long.format(new Date(at));
}

export function localise(scope = document) {
  for (const el of scope.querySelectorAll("time[data-local]")) {
    const at = el.getAttribute("datetime");
    el.textContent = el.dataset.local === "near" ? near(at) : el.dataset.local === "moment" ? `${short.format(new Date(at))}, ${time(at)}` : time(at);
    el.title = `${long.format(new Date(at))}, ${time(at)}`;
  }
}

localise();
