// Data sources: unsaved changes, test and sign-in without leaving the page, the list's finder.
import { onPrepare, prepare } from "./prepared.js";

const POLL_MS = 2000;
const FEATURES = "popup,width=520,height=720";

let before = ""; // the form as it is stored
let leaving = false;
let following = 0; // which sign-in is followed; another one ends it

const details = () => document.getElementById("details");
const form = () => document.getElementById("details-form");

function content(element) {
  const fields = new FormData(element);
  for (const own of ["csrf", "seen", "sign_in_connector"]) fields.delete(own);
  return JSON.stringify([...fields.entries()].map(([name, value]) => [name, String(value).trim()]));
}

const changed = () => Boolean(form()) && !leaving && content(form()) !== before;

// What was refused is not stored, though the form came with the page.
function remember() {
  leaving = false;
  before = form() && !details().querySelector("[role=alert]") ? content(form()) : "";
}

function say(text, kind) {
  const place = document.getElementById("notices");
  const notice = document.createElement("div");
  notice.className = `notice ${kind}`;
  const words = document.createElement("div");
  words.textContent = text;
  notice.append(words);
  place.replaceChildren(notice);
}

// The notice of a part stands where those of whole pages do: readers of the screen listen there.
function announce() {
  const told = details().querySelector("[data-told]");
  if (!told) return;
  document.getElementById("notices").replaceChildren(...told.children);
  told.remove();
  window.scrollTo({ top: 0 });
}

async function send(button) {
  const around = details();
  const data = new FormData(form());
  const word = button.querySelector("span");
  const text = word.textContent;
  const frozen = [...document.querySelectorAll(".source-bar button, .authorize button")].filter((one) => !one.disabled);
  document.getElementById("notices").replaceChildren();
  around.setAttribute("aria-busy", "true");
  button.setAttribute("aria-busy", "true");
  for (const one of frozen) one.disabled = true;
  word.textContent = button.dataset.inPlace === "test" ? "Testing…" : "Asking the connector…";
  try {
    const answer = await fetch(button.formAction, {
      method: "POST",
      body: new URLSearchParams(data),
      headers: { "Console-Partial": "part" },
    });
    if (!answer.headers.has("Console-Partial")) {
      leaving = true;
      location.assign(answer.redirected ? answer.url : location.href);
      return null;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const part = page.getElementById("details");
    if (!part) {
      say(page.body.textContent.trim(), "error");
      return null;
    }
    around.replaceWith(document.adoptNode(part));
    const place = answer.headers.get("Console-Location");
    if (place && answer.ok) history.replaceState(null, "", place);
    prepare(details());
    if (window.htmx) window.htmx.process(details());
    remember();
    announce();
    details().querySelector(`[data-in-place="${button.dataset.inPlace}"]`)?.focus();
    return part;
  } catch {
    say("The relay does not answer. Check your connection, then try again.", "error");
    return null;
  } finally {
    around.removeAttribute("aria-busy");
    button.removeAttribute("aria-busy");
    for (const one of frozen) one.disabled = false;
    word.textContent = text;
  }
}

async function authorize(button) {
  // At once, while the browser knows that the person asked for it.
  const opened = window.open("", "procore-sign-in", FEATURES);
  if (opened) {
    try {
      opened.document.title = "Sign in to Procore";
      opened.document.body.textContent = "Asking the connector for Procore's sign-in…";
    } catch {
      // an older window of ours that is at Procore already
    }
  }
  const part = await send(button);
  const begun = part?.querySelector("[data-sign-in]");
  if (!begun || begun.dataset.signIn !== "waiting") {
    opened?.close();
    return;
  }
  if (opened) opened.location.replace(begun.dataset.address);
  follow(begun.dataset.attempt);
}

async function follow(attempt) {
  const turn = ++following;
  const address = `${form().action}/sign-in?attempt=${encodeURIComponent(attempt)}`;
  while (turn === following) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    let told;
    try {
      const answer = await fetch(address, { headers: { "Console-Background": "true" } });
      if (answer.redirected || answer.status === 401) return;
      if (!answer.ok) continue;
      told = await answer.json();
    } catch {
      continue; // the relay restarts, or the network is away
    }
    const shown = details()?.querySelector(`[data-attempt="${CSS.escape(attempt)}"]`);
    if (!shown || turn !== following) return;
    const notice = shown.querySelector(".notice");
    const words = notice.querySelector("div");
    if (words.textContent.trim() !== told.text) words.textContent = told.text;
    if (told.state === "waiting") continue;
    shown.dataset.signIn = told.state;
    shown.querySelector(".actions")?.remove();
    notice.className = `notice ${told.state === "done" ? "success" : "error"}`;
    notice.querySelector(".icon")?.remove();
    return;
  }
}

document.addEventListener(
  "submit",
  (event) => {
    if (event.target !== form()) return;
    const button = event.submitter?.closest("[data-in-place]");
    if (!button) {
      leaving = true; // Save
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    if (details().getAttribute("aria-busy") === "true") return;
    if (button.dataset.inPlace === "authorize") authorize(button);
    else send(button);
  },
  true,
);

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-leave-anyway]")) {
    leaving = true;
    return;
  }
  const link = event.target.closest("a[data-leave]");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || !changed()) return;
  event.preventDefault();
  const dialog = document.getElementById("leave");
  dialog.querySelector("[data-leave-anyway]").href = link.href;
  dialog.showModal();
});

window.addEventListener("beforeunload", (event) => {
  if (changed()) event.preventDefault();
});
window.addEventListener("pageshow", () => {
  leaving = false;
});

// The connectors of a long list: those whose words have what is typed. Chosen ones stay in sight.
onPrepare((part) => {
  const place = part.querySelector("[data-connector-search]");
  if (!place) return;
  place.hidden = false;
  place.querySelector("input").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    for (const item of document.querySelectorAll("[data-connector]")) {
      const hit = item.textContent.toLowerCase().includes(wanted);
      item.hidden = !hit && !item.querySelector("input").checked;
    }
  });
});

if (form()) {
  remember();
  const begun = details().querySelector('[data-sign-in="waiting"]');
  if (begun) follow(begun.dataset.attempt);
}
