// News from the relay (htmx with server-sent events): says when none comes any more, keeps
// requests that nobody asked for from prolonging the session, and shows what went wrong.
const state = document.querySelector("[data-live-state]");
const notices = document.getElementById("notices");

function tell(text) {
  if (!state) return;
  state.textContent = text;
  state.hidden = !text;
}

document.addEventListener("htmx:sseOpen", () => tell(""));
document.addEventListener("htmx:sseError", () => tell("Reconnecting…"));

document.addEventListener("htmx:configRequest", (event) => {
  const cause = event.detail.triggeringEvent;
  const byItself = !cause || cause.type.startsWith("sse:") || cause.type === "htmx:sseMessage" || cause.type === "load";
  if (byItself) event.detail.headers["Console-Background"] = "true";
});

// A refusal names the place where it wants to be shown.
document.addEventListener("htmx:beforeSwap", (event) => {
  const answer = event.detail.xhr;
  if (answer.status >= 400 && answer.getResponseHeader("HX-Retarget")) event.detail.shouldSwap = true;
});

document.addEventListener("htmx:sendError", () => {
  if (!notices || notices.querySelector("[data-unreachable]")) return;
  const notice = document.createElement("div");
  notice.className = "notice error";
  notice.dataset.unreachable = "true";
  const text = document.createElement("div");
  text.textContent = "The relay does not answer. Check your connection, then load the page again.";
  notice.append(text);
  notices.append(notice);
});
