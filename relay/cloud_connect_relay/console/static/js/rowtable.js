// A table that grows with its rows, up to what a page can hold, and the drop-down beside it.

export const MOST_ROWS = 2000; // in the page; more would make it slow, and nobody reads them
const MOST_OPTIONS = 500;
const MOST_TEXT = 300; // characters of a cell

export class RowTable {
  constructor(results, { display, value }) {
    this.results = results;
    this.display = display;
    this.value = value;
    this.labels = JSON.parse(results.dataset.labels);
    this.types = JSON.parse(results.dataset.types);
    this.order = results.dataset.order.split(",");
    this.places = results.dataset.places.split(",").filter(Boolean);
    this.heads = results.querySelector("[data-heads]");
    this.body = results.querySelector("[data-body]");
    this.frame = results.querySelector("[data-frame]");
    this.preview = results.querySelector("[data-preview]");
    this.list = results.querySelector("[data-preview-list]");
    this.clear();
  }

  clear() {
    this.columns = [];
    this.shown = 0;
    this.count = 0;
    this.heads.replaceChildren();
    this.body.replaceChildren();
    this.frame.hidden = true;
    this.preview.hidden = true;
    this.list.replaceChildren(option("", "Choose…"));
    this.results.querySelector("[data-kept]").textContent = "–";
  }

  add(rows) {
    this.count += rows.length;
    const room = MOST_ROWS - this.shown;
    const kept = rows.slice(0, Math.max(0, room));
    if (!kept.length) return;
    this.widen(kept);
    const part = document.createDocumentFragment();
    for (const row of kept) part.append(this.line(row));
    this.body.append(part);
    this.offer(kept);
    this.shown += kept.length;
    this.frame.hidden = false;
  }

  // A later row may have a field that none before it had.
  widen(rows) {
    const present = new Set(rows.flatMap(Object.keys));
    const missing = [...present].filter((name) => !this.columns.includes(name));
    if (!missing.length) return;
    const rank = (name) => {
      if (name === this.display) return -2;
      if (name === this.value) return -1;
      const at = this.order.indexOf(name);
      return at < 0 ? this.order.length : at;
    };
    if (!this.columns.length) {
      this.columns = missing.sort((one, other) => rank(one) - rank(other));
    } else {
      this.columns.push(...missing.sort((one, other) => rank(one) - rank(other)));
    }
    const heads = this.columns.map((name) => {
      const head = document.createElement("th");
      head.scope = "col";
      head.textContent = this.labels[name] ?? name;
      head.title = name;
      if (this.types[name] === "number") head.className = "number";
      return head;
    });
    if (this.results.dataset.records) {
      const head = document.createElement("th");
      head.scope = "col";
      head.innerHTML = '<span class="visually-hidden">Actions</span>';
      heads.push(head);
      for (const line of this.body.rows) {
        for (const _ of missing) line.insertBefore(document.createElement("td"), line.lastChild);
      }
    }
    this.heads.replaceChildren(...heads);
  }

  line(row) {
    const line = document.createElement("tr");
    for (const name of this.columns) {
      const cell = document.createElement("td");
      if (this.types[name] === "number") cell.className = "number";
      const whole = text(row[name]);
      cell.textContent = whole.length > MOST_TEXT ? `${whole.slice(0, MOST_TEXT)}…` : whole;
      if (whole.length > 40) cell.title = whole.slice(0, 2000);
      line.append(cell);
    }
    if (this.results.dataset.records) line.append(this.actions(row));
    return line;
  }

  actions(row) {
    const cell = document.createElement("td");
    cell.className = "row-actions";
    if (row.id === null || row.id === undefined) return cell;
    const box = document.createElement("span");
    box.className = "actions";
    const where = new URLSearchParams({ table: this.results.dataset.table });
    for (const name of this.places) {
      if (row[name] !== null && row[name] !== undefined) where.set(name, row[name]);
    }
    for (const [deed, word] of [["edit", "Edit"], ["delete", "Delete"]]) {
      const link = document.createElement("a");
      link.className = "button small quiet";
      link.href = `${this.results.dataset.records}/${encodeURIComponent(row.id)}/${deed}?${where}`;
      link.dataset.dialog = "wide";
      link.textContent = word;
      link.setAttribute("aria-label", `${word} ${row.id}`);
      box.append(link);
    }
    cell.append(box);
    return cell;
  }

  offer(rows) {
    const room = MOST_OPTIONS + 1 - this.list.options.length;
    for (const row of rows.slice(0, Math.max(0, room))) {
      this.list.append(option(text(at(row, this.value)), text(at(row, this.display)) || "(blank)"));
    }
    this.preview.hidden = false;
  }
}

function option(value, label) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = label;
  return made;
}

function at(row, name) {
  if (name in row) return row[name];
  return name.split(".").reduce((inner, part) => inner?.[part], row);
}

function text(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (typeof value === "object") return named(value) || JSON.stringify(value);
  return String(value);
}

// What people call an object that Procore nests, or a list of such.
function named(value) {
  if (Array.isArray(value)) {
    return value.map((one) => (typeof one === "object" ? named(one) : String(one))).filter(Boolean).join(", ");
  }
  if (value === null) return "";
  for (const name of ["name", "label", "title", "value"]) {
    if (typeof value[name] === "string" && value[name]) return value[name];
  }
  return "";
}
