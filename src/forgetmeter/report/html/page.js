"use strict";
(function () {
  const byId = (id) => document.getElementById(id);

  /* Theme */
  const theme = byId("theme");
  theme.value = document.documentElement.dataset.theme || "auto";
  theme.addEventListener("change", () => {
    if (theme.value === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme.value;
    try {
      localStorage.setItem("forgetmeter-theme", theme.value);
    } catch (error) {
      // See theme.js.
    }
  });

  /* Sorting: numbers by value, with their thousands, units and intervals; what has no number comes last. */
  const UNITS = { k: 1e3, M: 1e6, B: 1e9 };
  function sortKey(text) {
    const found = /^[<+]?\s*(-?[\d,]*\.?\d+)\s*([kMB](?![A-Za-z]))?/.exec(text);
    return found ? parseFloat(found[1].replace(/,/g, "")) * (UNITS[found[2]] || 1) : null;
  }
  function compareTexts(one, other) {
    const a = sortKey(one), b = sortKey(other);
    if (a !== null && b !== null) return a - b;
    if (a !== null) return -1;
    if (b !== null) return 1;
    const missing = (one === "—") - (other === "—");
    return missing || one.localeCompare(other);
  }
  function makeSortable(table, sort) {
    table.querySelectorAll("thead th").forEach((heading, place) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        const down = heading.getAttribute("aria-sort") === "ascending";
        table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
        heading.setAttribute("aria-sort", down ? "descending" : "ascending");
        sort(heading, place, down ? -1 : 1);
      });
    });
  }
  document.querySelectorAll("table.sortable").forEach((table) => {
    const body = table.tBodies[0];
    makeSortable(table, (heading, place, sign) => {
      const text = (row) => (row.cells[place] ? row.cells[place].textContent.trim() : "—");
      const rows = Array.from(body.rows, (row) => [text(row), row]);
      rows.sort((a, b) => {
        const last = (a[0] === "—") - (b[0] === "—");
        return last || sign * compareTexts(a[0], b[0]);
      });
      body.append(...rows.map((pair) => pair[1]));
    });
  });

  /* What a point of a chart is, where there is no pointer that could rest on it */
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.setAttribute("role", "status");
  tip.hidden = true;
  document.body.append(tip);
  document.addEventListener("click", (event) => {
    const mark = event.target.closest ? event.target.closest("svg .mark") : null;
    const title = mark && mark.querySelector("title");
    tip.hidden = !title;
    if (!title) return;
    tip.textContent = title.textContent;
    const room = document.documentElement.clientWidth - tip.offsetWidth - 8;
    tip.style.left = Math.max(8, Math.min(event.clientX + 8, room)) + window.scrollX + "px";
    tip.style.top = event.clientY + window.scrollY + 14 + "px";
  });

  /* Print: what is folded away is part of the report */
  window.addEventListener("beforeprint", () => {
    document.querySelectorAll("details.numbers, .finding details").forEach((each) => (each.open = true));
  });

  /* Ledger */
  const form = byId("ledger-form");
  if (!form) return;
  const data = JSON.parse(byId("ledger-data").textContent);
  const PAGE = 50;
  const ANY = "";
  data.changes.forEach((change) => {
    // Stored as differences, which are smaller.
    let place = 0;
    change.item = change.item.map((step) => (place += step));
    change.elsewhere = change.elsewhere && new Set(change.elsewhere);
  });
  const controls = {};
  ["search", "kind", "model", "task", "recipe", "relation"].forEach((name) => {
    controls[name] = byId("ledger-" + name);
  });
  const body = byId("ledger-table").tBodies[0];
  const more = byId("ledger-more");
  const lowered = data.tasks.map((task) => task.strings.map((text) => text.toLowerCase()));
  const relations = data.tasks.map((task) => task.relations.map((text, at) => (text + " " + task.names[at]).toLowerCase()));
  const KINDS = [["forgotten", "forgotten"], ["gained", "gained"]];
  if (data.changes.some((change) => change.elsewhere)) {
    KINDS.push(["elsewhere", "forgotten, still right in another phrasing"]);
    KINDS.push(["nowhere", "forgotten in all phrasings"]);
  }
  let shown = 0;
  let rows = [];
  let order = null;

  function fill(select, options, any) {
    const chosen = select.value;
    select.replaceChildren();
    if (any !== null) options = [[ANY, any], ...options];
    options.forEach(([value, text]) => select.append(new Option(text, value)));
    if (options.some(([value]) => value === chosen)) select.value = chosen;
    select.closest("label").hidden = options.length < (any === null ? 2 : 3);
  }
  function distinct(values) {
    return Array.from(new Map(values));
  }
  function fillAll() {
    fill(controls.kind, KINDS, null);
    fill(controls.model, distinct(data.changes.map((each) => [each.model, each.model])), "all models");
    fill(controls.task, distinct(data.tasks.map((each) => [each.name, each.name])), "all tasks");
    const noun = byId("ledger-table").querySelector("th.recipe").textContent.trim();
    fill(controls.recipe, distinct(data.changes.map((each) => [each.recipe, each.words])), `all ${noun}s`);
    fillRelations();
  }
  function fillRelations() {
    const tasks = data.tasks.filter((each) => !controls.task.value || each.name === controls.task.value);
    const names = new Set(tasks.flatMap((each) => each.relations));
    fill(controls.relation, Array.from(names, (name) => [name, name]), "all relations");
  }

  function value(row, key) {
    const [change, place] = row;
    const task = data.tasks[change.task];
    const item = change.item[place];
    if (key === "statement" || key === "gold") return task.strings[task[key][item]];
    if (key === "before" || key === "after") return task.strings[change[key][place]];
    if (key === "rank") return change.rank[place] || "—";
    if (key === "elsewhere") return !change.elsewhere ? "—" : change.elsewhere.has(place) ? "right" : "wrong";
    return key === "recipe" ? change.words : change.model;
  }

  function find() {
    const wanted = controls.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kind = controls.kind.value;
    rows = [];
    data.changes.forEach((change) => {
      const task = data.tasks[change.task];
      if (change.kind !== (kind === "gained" ? kind : "forgotten")) return;
      if (controls.model.value && change.model !== controls.model.value) return;
      if (controls.task.value && task.name !== controls.task.value) return;
      if (controls.recipe.value && change.recipe !== controls.recipe.value) return;
      const relation = controls.relation.value ? task.relations.indexOf(controls.relation.value) : null;
      const texts = lowered[change.task];
      const about = [change.model, change.recipe, change.words].join(" ").toLowerCase();
      change.item.forEach((item, place) => {
        const its = task.relation[item];
        if (relation !== null && its !== relation) return;
        if (kind === "elsewhere" && !(change.elsewhere && change.elsewhere.has(place))) return;
        if (kind === "nowhere" && !(change.elsewhere && !change.elsewhere.has(place))) return;
        const has = (word) =>
          texts[task.statement[item]].includes(word) ||
          texts[task.gold[item]].includes(word) ||
          texts[change.before[place]].includes(word) ||
          texts[change.after[place]].includes(word) ||
          about.includes(word) ||
          (its >= 0 && relations[change.task][its].includes(word));
        // All words must occur, in any column.
        if (wanted.every(has)) rows.push([change, place]);
      });
    });
    if (order) rows.sort(order);
  }
  function kindLabel() {
    return KINDS.find(([value]) => value === controls.kind.value)[1];
  }
  function show(anew) {
    const table = byId("ledger-table");
    const models = new Set(data.changes.map((change) => change.model));
    table.classList.toggle("one-model", models.size === 1 || controls.model.value !== "");
    table.classList.toggle("one-recipe", controls.recipe.value !== "");
    table.classList.toggle("one-phrasing", KINDS.length === 2);
    if (anew) {
      body.replaceChildren();
      shown = 0;
    }
    const keys = Array.from(table.tHead.rows[0].cells, (cell) => [cell.dataset.key, cell.textContent]);
    rows.slice(shown, shown + PAGE).forEach((row) => {
      const line = body.insertRow();
      keys.forEach(([key, label]) => {
        const cell = line.insertCell();
        // Text, never markup: data sets may contain anything.
        cell.textContent = value(row, key);
        cell.dataset.label = label;
        cell.className = key;
      });
    });
    shown = Math.min(shown + PAGE, rows.length);
    more.hidden = shown >= rows.length;
    const number = rows.length.toLocaleString("en");
    byId("ledger-count").textContent = rows.length
      ? number + " " + kindLabel() + (shown < rows.length ? ", the first " + shown + " shown" : "")
      : "No matches: " + kindLabel() + ".";
  }
  function update() {
    find();
    show(true);
  }

  makeSortable(byId("ledger-table"), (heading, place, sign) => {
    const key = heading.dataset.key;
    order = (a, b) => {
      const one = String(value(a, key)), other = String(value(b, key));
      // Missing values come last in either direction.
      return (one === "—") - (other === "—") || sign * compareTexts(one, other);
    };
    update();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("change", () => {
    fillRelations();
    update();
  });
  let waiting = 0;
  controls.search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 120);
  });
  more.addEventListener("click", () => show(false));
  fillAll();
  update();
})();
