"use strict";
// What the charts of every page share: colours, axes, lines. The data is the JSON in #data. Plotly is unpacked from
// #plotly: a gzip stream in base64, which keeps the file at half its size and needs no network.

const DATA = JSON.parse(document.getElementById("data").textContent);
const TOUCH = window.matchMedia("(hover: none)").matches;
const CONFIG = {
  responsive: true, displaylogo: false, displayModeBar: TOUCH ? false : "hover", modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
  toImageButtonOptions: { format: "svg" },
};

function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
}

function faded(name, alpha) {
  const hex = color(name).slice(1);
  return "rgba(" + [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",") + "," + alpha + ")";
}

function isNarrow() { return !isPrinting() && window.innerWidth < 600; }

function isPrinting() { return document.documentElement.classList.contains("printing"); }

function layout(x, y, more) {
  const axis = { gridcolor: color("grid"), zeroline: false, linecolor: color("line"), automargin: true };
  return Object.assign({
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: color("ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 48, r: 12, t: 12, b: 44 }, hovermode: "closest",
    legend: Object.assign(
      { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: isNarrow() ? 11 : 12 } },
      isNarrow() ? { entrywidthmode: "fraction", entrywidth: 0.48 } : {},
    ),
    modebar: { bgcolor: "rgba(0,0,0,0)", color: color("grey"), activecolor: color("accent") },
    hoverlabel: { bgcolor: color("card"), bordercolor: color("line"), font: { color: color("ink") }, align: "left" },
    xaxis: Object.assign({}, axis, x), yaxis: Object.assign({}, axis, y),
  }, more || {});
}

function band(x, low, high, fill) {
  return {
    x: x.concat(x.slice().reverse()), y: high.concat(low.slice().reverse()), fill: "toself", mode: "lines",
    line: { width: 0 }, fillcolor: fill, hoverinfo: "skip", showlegend: false,
  };
}

function line(series, name, ink, style, text) {
  return {
    x: series.x, y: series.y, name: name, mode: "lines", line: Object.assign({ color: color(ink), width: 1.6 }, style),
    text: text || series.text, hovertemplate: "%{text}<extra>" + name + "</extra>",
  };
}

function marks(series, name, symbol, ink, size) {
  return {
    x: series.x, y: series.y, name: name, mode: "markers", text: series.text,
    marker: { symbol: symbol, color: color(ink), size: size, line: { color: color("card"), width: 1.5 } },
    hovertemplate: "%{text}<extra>" + name + "</extra>",
  };
}

async function unpack(base64) {
  const bytes = Uint8Array.from(atob(base64.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}


// Axes of one of several small charts, and its title.
function panel(title, i) {
  const n = i ? String(i + 1) : "";
  return {
    axes: { xaxis: "x" + n, yaxis: "y" + n },
    layout: {
      ["xaxis" + n]: { gridcolor: color("grid"), zeroline: false },
      ["yaxis" + n]: { gridcolor: color("grid"), zeroline: false, automargin: true },
    },
    title: { text: "<b>" + title + "</b>", showarrow: false, xref: "x" + n + " domain", yref: "y" + n + " domain", x: 0, y: 1.0, xanchor: "left", yanchor: "bottom" },
  };
}

function panelGrid(count) {
  const columns = isNarrow() ? 1 : Math.min(3, count);
  return { rows: Math.ceil(count / columns), columns: columns, pattern: "independent", ygap: 0.45, xgap: 0.18 };
}
