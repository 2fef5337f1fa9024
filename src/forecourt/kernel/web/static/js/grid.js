// Grids of time (role="grid"): one tab stop, arrows walk what can be pressed, Home and End along a row, Enter follows,
// Escape clears. Movement goes by where cells are on the screen, so it is right in both reading directions.

const STOPS = "a.slot, button.slot, .bk, .day__add";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const stops = (grid) => [...grid.querySelectorAll(STOPS)];
const middle = (el) => {
  const r = (el.closest('[role="gridcell"]') ?? el).getBoundingClientRect();
  return { x: r.x + r.width / 2, y: r.y + r.height / 2, w: r.width, h: r.height };
};

export function start(scope) {
  const grids = [...scope.querySelectorAll('[role="grid"]')];
  if (scope.closest?.('[role="grid"]')) grids.push(scope.closest('[role="grid"]'));
  for (const grid of grids) {
    if (grid.matches(".day")) name(grid);
    oneStop(grid);
    if (grid.dataset.walked !== undefined) continue;
    grid.dataset.walked = "";
    grid.addEventListener("keydown", (e) => walk(grid, e));
    grid.addEventListener("focusin", (e) => { if (e.target.matches(STOPS)) rove(grid, e.target); });
  }
}

// What was free a moment ago and is not any more flashes once; the reader sees which one went.
document.addEventListener("forecourt:patching", (e) => {
  const { old, node } = e.detail;
  for (const row of node.querySelectorAll(".avail__row[id]")) {
    const before = old.querySelector(`#${CSS.escape(row.id)}`);
    if (!before) continue;
    const free = new Set([...before.querySelectorAll("a.slot")].map((a) => Number(a.parentElement.dataset.at)));
    for (const gone of row.querySelectorAll(".slot--taken:not(.slot--closed)")) {
      const at = Number(gone.parentElement.dataset.at), len = Number(gone.parentElement.dataset.len ?? 1);
      if ([...free].some((f) => f >= at && f < at + len)) gone.classList.add("is-new");
    }
  }
});

// A block of a day sheet says its parts one after another; its name says them in a sentence, with the place they are at.
function name(day) {
  for (const el of day.querySelectorAll(".bk:not([aria-label]), .day__add:not([aria-label])")) {
    const said = [...el.children].map((part) => part.textContent).filter(Boolean);
    el.ariaLabel = [el.closest(".day__col")?.ariaLabel, ...said].filter(Boolean).join(", ");
    if (el.matches(".bk")) el.title = el.querySelector("bdi").textContent;
  }
}

// Exactly one stop can be reached with Tab: the chosen one, or the first.
function oneStop(grid) {
  const all = stops(grid);
  if (!all.length) return;
  const current = all.find((el) => el === document.activeElement) ?? all.find((el) => el.tabIndex === 0) ?? all.find((el) => el.matches("[aria-current]")) ?? all[0];
  rove(grid, current);
}

function rove(grid, to) {
  for (const el of stops(grid)) el.tabIndex = el === to ? 0 : -1;
}

function walk(grid, e) {
  if (!e.target.matches(STOPS) || e.altKey || e.ctrlKey || e.metaKey || grid.dataset.lifting !== undefined) return;
  if (e.key === "Escape") { clear(grid, e); return; }
  const next = e.key === "Home" || e.key === "End" ? edge(grid, e) : e.key in ARROWS ? nearest(grid, e) : null;
  if (!next) { if (e.key in ARROWS) e.preventDefault(); return; }
  e.preventDefault();
  next.focus();
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

function edge(grid, e) {
  const row = e.target.closest('[role="row"]');
  const all = row ? [...row.querySelectorAll(STOPS)] : stops(grid);
  return e.key === "Home" ? all[0] : all.at(-1);
}

function nearest(grid, e) {
  const [dx, dy] = ARROWS[e.key];
  const from = middle(e.target);
  let best = null, least = Infinity;
  for (const el of stops(grid)) {
    if (el === e.target) continue;
    const to = middle(el);
    const along = dx ? (to.x - from.x) * dx : (to.y - from.y) * dy;
    const across = Math.abs(dx ? to.y - from.y : to.x - from.x);
    const cost = along + across * 3;
    if (along > 4 && cost < least) { best = el; least = cost; }
  }
  return best;
}

function clear(grid, e) {
  const asked = grid.dispatchEvent(new CustomEvent("forecourt:clear", { bubbles: true, cancelable: true }));
  if (asked && grid.dataset.clear && grid.querySelector('[aria-current="true"]')) {
    e.preventDefault();
    location.assign(grid.dataset.clear);
  }
}
