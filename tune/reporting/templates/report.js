// Sorting, finding and pinning trials; the page says all it has to say without it.
"use strict";
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const say = (text) => { document.getElementById("said").textContent = text; };

// Tables: a column's name becomes a button. What has no number goes last either way.
const keyOf = (row, column, kind) => {
  const cell = row.cells[column];
  const text = cell.dataset.key ?? cell.textContent.trim();
  if (text === "") return null;
  const number = Number(text);
  return kind === "number" || (kind === "mixed" && !Number.isNaN(number)) ? number : text;
};
const compare = (a, b) =>
  typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b));
for (const table of all("table.sortable")) {
  const heads = all("thead tr:last-child > th", table);
  for (const head of heads.filter((one) => one.dataset.sort)) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const column = head.cellIndex, kind = head.dataset.sort;
      const first = head.classList.contains("number") && column === 1 ? "descending" : "ascending";
      const other = first === "ascending" ? "descending" : "ascending";
      const way = head.getAttribute("aria-sort") === first ? other : first;
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way);
      const sign = way === "ascending" ? 1 : -1, body = table.tBodies[0];
      const rows = [...body.rows].map((row) => [keyOf(row, column, kind), row]);
      rows.sort(([a], [b]) => (a === null) - (b === null) || (a === null ? 0 : sign * compare(a, b)));
      body.append(...rows.map(([, row]) => row));
      say(`Sorted by ${button.innerText.replace(/\s+/g, " ")}, ${way}`);
    });
  }
}

// Finding: rows that lack the words are hidden.
for (const tools of all(".tools")) {
  const input = tools.querySelector("input"), output = tools.querySelector("output");
  const rows = all("tbody tr", tools.nextElementSibling);
  tools.hidden = false;
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    output.textContent = words.length ? `${shown} of ${rows.length} trials` : "";
  });
}

// A trial is the same in every figure of its run: pointing at it shows it, its number pins it.
const scopeOf = (element) => element.closest("[data-run]")?.dataset.run ?? "";
const marks = new Map();
for (const mark of all("[data-trial]")) {
  const key = `${scopeOf(mark)}/${mark.dataset.trial}`;
  marks.set(key, [...(marks.get(key) ?? []), mark]);
  mark.addEventListener("pointerenter", () => light(key, "hot", true));
  mark.addEventListener("pointerleave", () => light(key, "hot", false));
}
function light(key, name, on) {
  for (const mark of marks.get(key)) {
    mark.classList.toggle(name, on);
    const inFigure = mark.ownerSVGElement;
    if (inFigure) inFigure.classList.toggle("dim", all(".hot, .pinned", inFigure).length > 0);
    if (inFigure && on && name === "pinned") mark.parentNode.append(mark);
  }
}
for (const pin of all(".board .pin")) {
  const row = pin.closest("tr"), key = `${scopeOf(row)}/${row.dataset.trial}`;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "pin";
  button.textContent = pin.textContent;
  button.setAttribute("aria-label", `Trial ${pin.textContent}: show in all figures`);
  button.setAttribute("aria-pressed", "false");
  pin.replaceWith(button);
  button.addEventListener("click", () => {
    const on = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", on);
    light(key, "pinned", on);
  });
}

// Copying.
for (const button of all("button.copy")) {
  const source = document.getElementById(button.dataset.copy);
  button.hidden = false;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(source.innerText);
      say("Copied");
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(source);
      say("Selected; copy it with the keyboard");
    }
  });
}

// Light or dark: as the system is, until asked for the other.
{
  const root = document.documentElement, button = document.createElement("button");
  const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  const tell = () => { button.textContent = dark() ? "Light" : "Dark"; };
  try { const kept = localStorage.getItem("segtune-theme"); if (kept) root.dataset.theme = kept; } catch { /* files may have no storage */ }
  button.type = "button";
  button.className = "theme";
  button.setAttribute("aria-label", "Change between light and dark");
  tell();
  button.addEventListener("click", () => {
    root.dataset.theme = dark() ? "light" : "dark";
    try { localStorage.setItem("segtune-theme", root.dataset.theme); } catch { /* as above */ }
    tell();
  });
  document.querySelector("header").prepend(button);
}
