"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") === "descending";
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const numeric = head.classList.contains("n");
    const order = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if (x === "" || y === "") return (x === "") - (y === "");  // nothing stays below
      const sign = up ? 1 : -1;
      return sign * (numeric ? Number(x) - Number(y) : x.localeCompare(y));
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(order));
  }));
}
for (const plot of document.querySelectorAll("svg.plot")) {
  const said = document.getElementById(plot.dataset.said);
  const tell = (event) => {
    if (event.target.tagName !== "circle") return;
    plot.querySelectorAll("circle.on").forEach((point) => point.classList.remove("on"));
    event.target.classList.add("on");
    said.textContent = event.target.querySelector("title").textContent;
  };
  plot.addEventListener("pointerover", tell);
  plot.addEventListener("click", tell);
}
