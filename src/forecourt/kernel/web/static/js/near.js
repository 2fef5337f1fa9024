// "Near me": asks the browser where it is, only when pressed, and sends the point rounded to about a hundred metres.
const DIGITS = 3, PATIENCE_MS = 8000, OLD_MS = 600_000;

export function start(scope) {
  for (const button of scope.querySelectorAll("[data-near]:not([data-asked])")) {
    button.dataset.asked = "";
    button.addEventListener("click", () => ask(button));
  }
}

function ask(button) {
  const form = button.form, note = document.getElementById("near-denied");
  button.setAttribute("aria-busy", "true");
  const found = ({ coords }) => {
    form.elements.near.value = `${coords.latitude.toFixed(DIGITS)},${coords.longitude.toFixed(DIGITS)}`;
    form.elements.q.value = "";
    form.requestSubmit();
  };
  const failed = () => { button.removeAttribute("aria-busy"); if (note) note.hidden = false; form.elements.q.focus(); };
  if (!navigator.geolocation) { failed(); return; }
  navigator.geolocation.getCurrentPosition(found, failed, { timeout: PATIENCE_MS, maximumAge: OLD_MS });
}
