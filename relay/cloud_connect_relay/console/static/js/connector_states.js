// The connectors that a data source may use: their states as they change, and who comes new. What
// is ticked and typed on the page stays as it is.
async function renew() {
  let answer;
  try {
    answer = await fetch(location.href, { headers: { "Console-Background": "true" } });
  } catch {
    return; // the relay restarts; its stream begins with what to look at anew
  }
  if (!answer.ok || answer.redirected) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const list = document.querySelector(".connectors");
  for (const fresh of page.querySelectorAll("[data-connector]")) {
    const id = CSS.escape(fresh.dataset.connector);
    const shown = list?.querySelector(`[data-connector="${id}"]`);
    if (shown) {
      const state = shown.querySelector("[data-status]");
      const now = fresh.querySelector("[data-status]");
      if (state.innerHTML !== now.innerHTML) state.replaceChildren(...document.adoptNode(now).childNodes);
    } else if (list) {
      list.append(document.adoptNode(fresh));
    }
  }
}

document.querySelector("[data-live]")?.addEventListener("live", renew);
