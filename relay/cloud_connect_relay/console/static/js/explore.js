// The explorer: finds tables as one types, and asks for rows while they stream in.
import { MOST_ROWS, RowTable } from "./rowtable.js";
import { readRows, refusal } from "./rowstream.js";

const numbers = new Intl.NumberFormat("en");
const form = document.getElementById("question");
const results = document.getElementById("results");

function findTables() {
  const field = document.querySelector("[data-find]");
  if (!field) return;
  field.addEventListener("input", () => {
    const wanted = field.value.trim().toLowerCase();
    let found = 0;
    for (const group of document.querySelectorAll("[data-group]")) {
      let inside = 0;
      for (const item of group.querySelectorAll("[data-table]")) {
        item.hidden = !item.dataset.table.includes(wanted);
        if (!item.hidden) inside += 1;
      }
      group.hidden = inside === 0;
      group.querySelector("[data-count]").textContent = inside;
      found += inside;
    }
    document.querySelector("[data-none]").hidden = found > 0;
  });
  document.querySelector("[data-groups] [aria-current]")?.scrollIntoView({ block: "nearest" });
  // In a wide window the list stands beside the table and is always open.
  const tree = document.querySelector("[data-tree]");
  const wide = matchMedia("(min-width: 60.01rem)");
  const fit = () => { if (wide.matches) tree.open = true; };
  wide.addEventListener("change", fit);
  fit();
}

class Asking {
  constructor() {
    this.state = results.querySelector("[data-state]");
    this.problem = results.querySelector("[data-problem]");
    this.hops = results.querySelector("[data-hops]");
    this.call = results.querySelector("[data-call]");
    this.note = results.querySelector("[data-kept-rows]");
    this.more = results.querySelector("[data-more]");
    this.next = results.querySelector("[data-next]");
    this.tries = form.querySelectorAll("[data-try]");
    this.cancelling = form.querySelector("[data-cancel]");
    this.running = null;
    this.table = null;
    this.cancelling.addEventListener("click", () => this.running?.abort());
  }

  async ask(cursor = "") {
    if (this.running) return;
    const stop = new AbortController();
    this.running = stop;
    const began = performance.now();
    this.begin(cursor);
    let first = null;
    const ticking = setInterval(() => this.tell("Reading…", began, first), 200);
    let word = "";
    try {
      const fields = new URLSearchParams(new FormData(form));
      fields.set("cursor", cursor);
      const answer = await fetch(form.dataset.rows, {
        method: "POST", body: fields, redirect: "manual", signal: stop.signal,
        headers: { "X-CSRF-Token": fields.get("csrf"), Accept: "application/x-ndjson" },
      });
      if (answer.status === 422) {
        this.asPage();
        return;
      }
      if (!answer.ok) {
        this.fail(await refusal(answer));
      } else {
        this.callLink(answer.headers.get("Cloud-Connect-Call-Id"));
        const ending = await readRows(answer, (rows) => {
          first ??= performance.now() - began;
          this.table.add(rows);
          this.tell("Reading…", began, first);
        });
        word = this.ended(ending);
      }
    } catch {
      if (stop.signal.aborted) word = "Cancelled: Procore is not asked any further.";
      else this.fail("The relay does not answer. Check your connection, then try again.");
    } finally {
      clearInterval(ticking);
      this.running = null;
      this.buttons(false);
      this.tell(word, began, first);
    }
  }

  begin(cursor) {
    const chosen = (name) => form.elements.namedItem(name).value;
    if (!this.table || !cursor) {
      this.table = new RowTable(results, { display: chosen("display"), value: chosen("value") });
    }
    this.total = null;
    this.problem.replaceChildren();
    this.hops.replaceChildren();
    this.call.replaceChildren();
    this.note.textContent = "";
    this.more.hidden = true;
    results.hidden = false;
    this.buttons(true);
  }

  buttons(busy) {
    for (const one of this.tries) {
      one.disabled = busy;
      one.setAttribute("aria-busy", busy);
    }
    const focused = document.activeElement === this.cancelling;
    this.cancelling.hidden = !busy;
    if (focused) form.querySelector("[data-try]:not(.visually-hidden)").focus();
  }

  ended(ending) {
    this.total = ending.total ?? null;
    this.drawHops(ending.hops ?? []);
    this.callLink(ending.call_id);
    if (ending.cursor) {
      this.next.value = ending.cursor;
      this.more.hidden = false;
    }
    if (this.table.count > this.table.shown) {
      this.note.textContent = `The page shows the first ${numbers.format(MOST_ROWS)} rows; ${numbers.format(this.table.count)} came.`;
    }
    if (!ending.problem) return ending.message ?? "";
    const kept = this.table.count ? " The rows that came before are kept below; they are not all." : "";
    this.fail(ending.problem.message + kept);
    return "Incomplete.";
  }

  tell(word, began, first) {
    const { count } = this.table;
    const total = this.total === null ? "" : ` of ${numbers.format(this.total)}`;
    const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
    const parts = [`${numbers.format(count)}${total} row${count === 1 ? "" : "s"}`];
    if (first !== null) parts.push(`first after ${seconds(first)}`);
    parts.push(`${this.running ? "" : "all after "}${seconds(performance.now() - began)}`);
    this.state.textContent = `${parts.join(", ")}${word ? `. ${word}` : ""}`;
  }

  fail(sentence) {
    const notice = document.createElement("div");
    notice.className = "notice error";
    notice.setAttribute("role", "alert");
    const text = document.createElement("div");
    text.textContent = sentence;
    notice.append(text);
    this.problem.replaceChildren(notice);
  }

  callLink(id) {
    if (!id) return;
    const link = document.createElement("a");
    link.href = `${results.dataset.calls}/${encodeURIComponent(id)}`;
    link.textContent = "The call";
    this.call.replaceChildren(link);
  }

  drawHops(hops) {
    const list = document.createElement("ul");
    list.className = "hop-list";
    const bar = document.createElement("div");
    bar.className = "hop-bar";
    bar.setAttribute("aria-hidden", "true");
    for (const hop of hops) {
      const part = document.createElement("span");
      part.className = `hop-part hop-${hop.name}`;
      part.style.flexGrow = hop.milliseconds;
      bar.append(part);
      const item = document.createElement("li");
      const mark = document.createElement("span");
      mark.className = `hop-mark hop-${hop.name}`;
      mark.setAttribute("aria-hidden", "true");
      const name = document.createElement("span");
      name.textContent = hop.text;
      const time = document.createElement("span");
      time.className = "number";
      time.textContent = duration(hop.milliseconds);
      item.append(mark, name, time);
      list.append(item);
    }
    this.hops.replaceChildren(...(hops.length ? [bar, list] : []));
  }

  // What is wrong with the form stands beside its fields: the page says it.
  asPage() {
    const deed = document.createElement("input");
    deed.type = "hidden";
    deed.name = "do";
    deed.value = "try";
    form.append(deed);
    form.submit();
  }
}

function duration(milliseconds) {
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  return `${(milliseconds / 1000).toFixed(1)} s`;
}

function watch() {
  const asking = new Asking();
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    if (button && button !== asking.next && button.value !== "try") return;
    event.preventDefault();
    asking.ask(button === asking.next ? asking.next.value : "");
  });
  results.addEventListener("change", (event) => {
    if (!event.target.matches("[data-preview-list]")) return;
    results.querySelector("[data-kept]").textContent = event.target.value || "–";
  });
  keepSnippetsFresh();
  startInProject();
  const dialog = document.getElementById("dialog");
  let written = false;
  new MutationObserver(() => {
    written ||= dialog.querySelector("[data-written]") !== null;
  }).observe(dialog, { childList: true, subtree: true });
  dialog.addEventListener("close", () => {
    if (written && asking.table) asking.ask();
    written = false;
  });
}

// A new record begins in the project that was asked for.
function startInProject() {
  const link = document.querySelector("[data-new-record]");
  const project = form.elements.namedItem("project");
  if (!link || !project) return;
  const follow = () => {
    const address = new URL(link.href);
    if (project.value.trim()) address.searchParams.set("project_id", project.value.trim());
    else address.searchParams.delete("project_id");
    link.href = address;
  };
  project.addEventListener("input", follow);
  follow();
}

// The texts to copy follow the form, while they are looked at.
function keepSnippetsFresh() {
  const snippets = document.querySelector("[data-snippets]");
  let stale = false;
  const renew = () => {
    if (!stale || !snippets.open) return;
    stale = false;
    window.htmx?.trigger(snippets, "stale");
  };
  const spoil = () => {
    stale = true;
    renew();
  };
  form.addEventListener("change", spoil);
  form.addEventListener("htmx:afterSettle", spoil);
  document.body.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "conditions") spoil();
  });
  snippets.addEventListener("toggle", renew);
}

findTables();
if (form && results) watch();
