// What has to be done to each part of a page that comes in: by loading, in a dialog, by htmx.
const steps = [];

export function onPrepare(step) {
  steps.push(step);
  step(document);
}

export function prepare(part) {
  for (const step of steps) step(part);
}

document.addEventListener("htmx:load", (event) => prepare(event.detail.elt));
