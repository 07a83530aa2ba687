// Links with data-dialog show their page in a dialog; without this script they lead to it.
import { prepare } from "./prepared.js";

const dialog = document.getElementById("dialog");

async function open(link) {
  link.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(link.href, { headers: { "Console-Partial": "dialog" } });
    if (!answer.headers.has("Console-Partial")) throw new Error("not a part of a page");
    dialog.innerHTML = await answer.text();
  } catch {
    location.assign(link.href); // the page itself says what is the matter
    return;
  } finally {
    link.removeAttribute("aria-busy");
  }
  dialog.classList.toggle("wide", link.dataset.dialog === "wide");
  if (window.htmx) window.htmx.process(dialog);
  prepare(dialog);
  dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
}

if (dialog) {
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const link = event.target.closest("a[data-dialog]");
    if (link) {
      event.preventDefault();
      if (link.getAttribute("aria-busy") !== "true") open(link);
      return;
    }
    const closing = event.target.closest("[data-close]");
    const around = closing?.closest("dialog");
    if (around) {
      event.preventDefault();
      around.close();
    }
    const opening = event.target.closest("[data-opens]");
    if (opening) document.getElementById(opening.dataset.opens)?.showModal();
  });
  dialog.addEventListener("close", () => dialog.replaceChildren());
}

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "get" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  else form.dataset.sent = "true";
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});
