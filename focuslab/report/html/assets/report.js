"use strict";
(() => {
  const button = (text, label) => {
    const made = document.createElement("button");
    made.type = "button";
    made.className = "plain";
    made.textContent = text;
    if (label) made.setAttribute("aria-label", label);
    return made;
  };

  // Numbers by size, then text by letters; what was not measured stays at the end both ways.
  const compare = (one, other, sign) => {
    if (one === "" || other === "") return (one === "") - (other === "");
    const [a, b] = [Number(one), Number(other)];
    if (!Number.isNaN(a) && !Number.isNaN(b)) return sign * (a - b);
    return sign * one.localeCompare(other, undefined, { numeric: true });
  };

  const sort = (table, index, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const value = (row) => row.cells[index].dataset.value;
    const rows = [...table.tBodies[0].rows].sort((a, b) => compare(value(a), value(b), down ? -1 : 1));
    table.tBodies[0].append(...rows);
  };

  const field = (text) => {
    // A spreadsheet would take such text for a formula.
    const safe = /^[=+\-@\t]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
    return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const csv = (table) =>
    [
      [...table.tHead.rows[0].cells].map((cell) => cell.dataset.csv),
      ...[...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.dataset.value)),
    ]
      .map((row) => row.map(field).join(","))
      .join("\r\n");

  const copy = async (text) => {
    if (navigator.clipboard) {
      try {
        return await navigator.clipboard.writeText(text);
      } catch {
        // Not allowed here; the old way may be.
      }
    }
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "offscreen";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) throw new Error("the browser does not let this page copy");
  };

  for (const table of document.querySelectorAll("table")) {
    [...table.tHead.rows[0].cells].forEach((head, index) => {
      const made = document.createElement("button");
      made.type = "button";
      made.append(...head.childNodes);
      made.addEventListener("click", () => sort(table, index, head));
      head.append(made);
    });
    const bar = table.closest(".table").querySelector(".tablehead");
    const made = button("Copy as CSV", `Copy as CSV: ${bar.textContent.trim()}`);
    const status = document.createElement("span");
    status.setAttribute("role", "status");
    status.className = "offscreen";
    made.addEventListener("click", async () => {
      try {
        await copy(csv(table));
        made.textContent = status.textContent = "Copied";
      } catch (error) {
        made.textContent = status.textContent = `Not copied: ${error.message}`;
      }
      setTimeout(() => (made.textContent = "Copy as CSV"), 2500);
    });
    bar.append(made, status);
  }

  for (const comparison of document.querySelectorAll(".comparison")) {
    const clips = [...comparison.querySelectorAll("audio")];
    clips.forEach((clip, index) => {
      clip.addEventListener("play", () => {
        for (const other of document.querySelectorAll("audio")) if (other !== clip) other.pause();
      });
      if (clips.length < 2) return;
      const next = clips[(index + 1) % clips.length];
      const made = button("Switch to the other clip at this moment");
      made.addEventListener("click", () => {
        next.currentTime = clip.currentTime;
        next.play();
      });
      clip.after(made);
    });
  }

  // What is one click away on a screen is on paper.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    for (const details of opened) details.open = true;
  });
  addEventListener("afterprint", () => {
    for (const details of opened) details.open = false;
  });
})();
