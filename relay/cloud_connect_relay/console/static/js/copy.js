// Buttons that copy the text of another element.
import { onPrepare } from "./prepared.js";

onPrepare((part) => {
  for (const button of part.querySelectorAll("[data-copy]")) button.hidden = false;
});

function select(element) {
  const range = document.createRange();
  range.selectNodeContents(element);
  const selection = getSelection();
  selection.removeAllRanges();
  selection.addRange(range);
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const source = document.getElementById(button.dataset.copy);
  if (!source) return;
  const word = button.querySelector("span");
  let told = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    select(source); // the browser forbids it: one key is left to press
    told = "Press Ctrl+C";
  }
  button.classList.add("copied");
  if (word) word.textContent = told;
  say(told);
  setTimeout(() => {
    button.classList.remove("copied");
    if (word) word.textContent = "Copy";
  }, 2000);
});

function say(text) {
  let speaker = document.getElementById("speaker");
  if (!speaker) {
    speaker = document.createElement("div");
    speaker.id = "speaker";
    speaker.className = "visually-hidden";
    speaker.setAttribute("role", "status");
    document.body.append(speaker);
  }
  speaker.textContent = text;
}
