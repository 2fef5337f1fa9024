// Replace parts of the page by id. The focus stays where the reader was, and a form someone is filling in is left alone.

function dirty(el) {
  const form = el.closest("form") ?? el.querySelector("form");
  return Boolean(form?.contains(document.activeElement) && document.activeElement.matches("input, textarea, select"));
}

// By id; a button of a form by what it sends.
const place = (el) => el?.matches("button[name][value]") ? `button[name="${CSS.escape(el.name)}"][value="${CSS.escape(el.value)}"]` : el?.id ? `#${CSS.escape(el.id)}` : el?.dataset?.focus ? `[data-focus="${CSS.escape(el.dataset.focus)}"]` : "";

/** Put every top element of `html` that has an id in the place of its twin. `remove` lists ids that are gone. */
export function patch(html, remove = []) {
  const parsed = new DOMParser().parseFromString(`<template>${html}</template>`, "text/html");
  for (const fresh of [...parsed.querySelector("template").content.children]) {
    const old = fresh.id && document.getElementById(fresh.id);
    if (!old || dirty(old)) continue;
    const held = old.contains(document.activeElement) ? place(document.activeElement) : "";
    const node = document.importNode(fresh, true);
    document.dispatchEvent(new CustomEvent("forecourt:patching", { detail: { old, node } }));
    old.replaceWith(node);
    globalThis.htmx?.process(node);
    if (held) (node.matches(held) ? node : node.querySelector(held))?.focus({ preventScroll: true });
    document.dispatchEvent(new CustomEvent("forecourt:patched", { detail: node }));
  }
  for (const id of remove) document.getElementById(id)?.remove();
}
