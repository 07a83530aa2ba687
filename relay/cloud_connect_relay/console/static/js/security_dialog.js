// Security in its dialog: adding mappings and saving keep the page behind it as it is.
import { prepare } from "./prepared.js";

async function send(dialog, form, button) {
  const scrolled = dialog.scrollTop;
  form.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(form.action, {
      method: "POST",
      body: new URLSearchParams(new FormData(form, button)),
      headers: { "Console-Partial": "dialog" },
    });
    if (!answer.headers.has("Console-Partial")) {
      location.assign(answer.redirected ? answer.url : location.href);
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const saved = page.querySelector("[data-saved]");
    if (saved) {
      dialog.close();
      document.getElementById("notices").replaceChildren(...[...saved.children].map((one) => document.adoptNode(one)));
      return;
    }
    dialog.replaceChildren(...[...page.body.children].map((one) => document.adoptNode(one)));
    prepare(dialog);
    const wrong = dialog.querySelector("[role=alert]");
    dialog.scrollTop = wrong ? 0 : scrolled;
    focus(dialog, button);
  } catch {
    form.querySelector("[data-unreachable]")?.remove();
    const notice = document.createElement("p");
    notice.className = "field-error";
    notice.dataset.unreachable = "true";
    notice.setAttribute("role", "alert");
    notice.textContent = "The relay does not answer. Check your connection, then try again.";
    form.append(notice);
  } finally {
    form.removeAttribute("aria-busy");
  }
}

// Where a person goes on: in what was added, or beside what was taken out.
function focus(dialog, button) {
  const [what, place] = (button?.name === "do" ? button.value : "").split(":");
  const mappings = dialog.querySelectorAll(".mapping");
  let next = null;
  if (what === "add") next = mappings[mappings.length - 1]?.querySelector("select");
  else if (what === "line") next = [...(mappings[place]?.querySelectorAll(".condition") ?? [])].pop()?.querySelector("input");
  else if (what === "remove") next = dialog.querySelector('button[value="add"]');
  else next = dialog.querySelector("[role=alert] a");
  next?.focus();
}

document.addEventListener(
  "submit",
  (event) => {
    const form = event.target;
    const dialog = form.closest("dialog");
    if (form.id !== "security-form" || !dialog) return;
    event.preventDefault();
    event.stopPropagation();
    if (form.getAttribute("aria-busy") !== "true") send(dialog, form, event.submitter);
  },
  true,
);
