// Saves figures as SVG and CSV and tables as CSV; a click on a column head sorts a table.

function save(name, text, kind) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: kind }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function csvCell(value) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+@\t\r]/.test(text) || /^-(?![\d.])/.test(text)) text = "'" + text; // spreadsheets would run it as a formula
  return /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
}

function chartCsv(chart) {
  const rows = [["series", "x", "y", "low", "high"]];
  for (const trace of chart.data) {
    if (!trace.name || trace.name === "slider") continue;
    trace.x.forEach((x, i) => {
      const ends = trace.meta && trace.meta.low ? [trace.meta.low[i], trace.meta.high[i]] : ["", ""];
      rows.push([trace.name, x, trace.y[i], ...ends]);
    });
  }
  return rows.map((r) => r.map(csvCell).join(",")).join("\n") + "\n";
}

function tableCsv(table) {
  return Array.from(table.rows).map((r) => Array.from(r.cells).map((c) => csvCell(c.textContent.trim())).join(",")).join("\n") + "\n";
}

async function chartSvg(chart) {
  const url = await Plotly.toImage(chart, { format: "svg", width: chart.clientWidth, height: chart.clientHeight });
  return decodeURIComponent(url.slice(url.indexOf(",") + 1));
}

function button(text, title, act) {
  const made = document.createElement("button");
  made.type = "button";
  made.className = "save";
  made.textContent = text;
  made.title = title;
  made.setAttribute("aria-label", text + ": " + title);
  made.addEventListener("click", act);
  return made;
}

function addSaves() {
  document.querySelectorAll(".chart").forEach((chart) => {
    const bar = document.createElement("div"), name = chart.id.replace("chart-", "");
    bar.className = "saves";
    bar.append(button("SVG", "save the figure " + name, async () => save(name + ".svg", await chartSvg(chart), "image/svg+xml")));
    bar.append(button("CSV", "save the numbers of the figure " + name, () => save(name + ".csv", chartCsv(chart), "text/csv")));
    chart.after(bar);
  });
  document.querySelectorAll(".scroll table").forEach((table, i) => {
    const bar = document.createElement("div");
    bar.className = "saves";
    bar.append(button("CSV", "save table " + (i + 1), () => save("table-" + (i + 1) + ".csv", tableCsv(table), "text/csv")));
    table.parentElement.after(bar);
  });
}

function sortValue(cell) {
  const text = cell ? cell.textContent.replace(/^\*\s*/, "").replace(/\u2212/g, "-").replace(/[$,]/g, "").trim() : "";
  const number = parseFloat(text);
  return Number.isNaN(number) ? text : number;
}

function sortTable(table, column, head) {
  const down = head.getAttribute("aria-sort") === "ascending";
  table.querySelectorAll("th").forEach((h) => h.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = Array.from(table.tBodies[0].rows);
  const rank = (v) => (typeof v === "number" ? 0 : 1);
  rows.sort((a, b) => {
    const x = sortValue(a.cells[column]), y = sortValue(b.cells[column]);
    if (rank(x) !== rank(y)) return rank(x) - rank(y);
    const order = typeof x === "number" ? x - y : x.localeCompare(y);
    return down ? -order : order;
  });
  table.tBodies[0].append(...rows);
}

function makeSortable() {
  document.querySelectorAll(".scroll table").forEach((table) => {
    table.querySelectorAll("thead th").forEach((head, column) => {
      const made = document.createElement("button");
      made.type = "button";
      made.className = "sort";
      made.append(...head.childNodes);
      head.append(made);
      head.addEventListener("click", () => sortTable(table, column, head));
    });
  });
}

start();
