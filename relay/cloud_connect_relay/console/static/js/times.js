// "3 minutes ago" goes on, and whole times are those of the person's clock.
import { onPrepare } from "./prepared.js";

const steps = [[86400, "day"], [3600, "hour"], [60, "minute"], [1, "second"]];
const local = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// The same words as formats.py.
function ago(at) {
  const seconds = (Date.now() - at) / 1000;
  if (Math.abs(seconds) < 5) return "just now";
  for (const [length, name] of steps) {
    const amount = Math.floor(Math.abs(seconds) / length);
    if (amount >= 1) {
      const many = `${amount} ${name}${amount === 1 ? "" : "s"}`;
      return seconds > 0 ? `${many} ago` : `in ${many}`;
    }
  }
  return "just now";
}

function refresh(part) {
  for (const element of part.querySelectorAll("time[data-ago]")) {
    const at = new Date(element.dateTime);
    const text = ago(at);
    if (element.textContent !== text) element.textContent = text;
    element.title = local.format(at);
  }
}

onPrepare((part) => {
  refresh(part);
  for (const element of part.querySelectorAll("time[data-local]")) {
    const at = new Date(element.dateTime);
    element.title = `${element.textContent} (${ago(at)})`;
    element.textContent = local.format(at);
  }
});
setInterval(() => refresh(document), 15000);
