"use strict";
// Sorting: the names of columns become buttons. Without JavaScript the table stays in the model's order.
document.querySelectorAll("table.sortable").forEach(function (table) {
  const body = table.tBodies[0];
  const given = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const value = function (row, column) {
    const held = row.cells[column].dataset.value;
    return held === undefined || held === "" ? null : Number(held);
  };
  const order = function (column, direction) {
    const isText = heads[column].classList.contains("text");
    return given.slice().sort(function (a, b) {
      if (isText) {
        return direction * a.cells[column].textContent.localeCompare(b.cells[column].textContent, "en", {numeric: true});
      }
      const first = value(a, column), second = value(b, column);
      if (first === null || second === null) {
        return (first === null) - (second === null);  // undefined numbers stay at the end
      }
      return direction * (first - second);
    });
  };
  heads.forEach(function (head, column) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", function () {
      const first = head.classList.contains("text") ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const now = head.getAttribute("aria-sort");
      const next = now === null ? first : now === first ? second : null;
      heads.forEach(function (other) { other.removeAttribute("aria-sort"); });
      if (next === null) {
        body.append(...given);
        return;
      }
      head.setAttribute("aria-sort", next);
      body.append(...order(column, next === "ascending" ? 1 : -1));
    });
  });
});
// On paper nothing can be unfolded.
let folded = [];
window.addEventListener("beforeprint", function () {
  folded = Array.from(document.querySelectorAll("details:not([open])"));
  folded.forEach(function (details) { details.open = true; });
});
window.addEventListener("afterprint", function () {
  folded.forEach(function (details) { details.open = false; });
});
