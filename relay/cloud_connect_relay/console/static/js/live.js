// News from the relay (server-sent events): has the parts of a page that follow them look anew, says
// when none comes any more, keeps requests that nobody asked for from prolonging the session, and
// shows what went wrong.
//
// An element with data-live="…/events" is sent the event "live" when something has happened; htmx
// (hx-trigger="live") or a script of the page listens. Each pause is how long more may come along:
// the last of a burst is never left out, as a throttle of htmx would.
const PAUSES_MS = { connector: 500, call: 1000, resync: 500, measures: 5000 };
const RETRY_MS = 10_000; // after an answer for which a browser gives up, such as a proxy's 502
const state = document.querySelector("[data-live-state]");
const notices = document.getElementById("notices");

function tell(text) {
  if (!state) return;
  state.textContent = text;
  state.hidden = !text;
}

function follow(place) {
  let timer = 0;
  let due = 0;
  function soon(pause) {
    const at = performance.now() + pause;
    if (timer && due <= at) return;
    clearTimeout(timer);
    due = at;
    timer = setTimeout(() => {
      timer = 0;
      for (const one of [place, ...place.querySelectorAll('[hx-trigger^="live"]')]) one.dispatchEvent(new CustomEvent("live"));
    }, pause);
  }
  let events;
  function listen() {
    events = new EventSource(place.dataset.live);
    events.addEventListener("open", () => tell(""));
    events.addEventListener("error", () => {
      tell("Reconnecting…");
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MS);
    });
    for (const [name, pause] of Object.entries(PAUSES_MS)) events.addEventListener(name, () => soon(pause));
  }
  listen();
  window.addEventListener("pagehide", () => events.close());
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) listen();
  });
}

for (const place of document.querySelectorAll("[data-live]")) follow(place);

document.addEventListener("htmx:configRequest", (event) => {
  const cause = event.detail.triggeringEvent;
  if (!cause || cause.type === "live" || cause.type === "load") event.detail.headers["Console-Background"] = "true";
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
