// Draws the overlay of the cascades and the training curves of a comparison.

const INKS = ["blue", "orange", "green", "red", "purple", "grey"];
const DASHES = ["solid", "dash", "dot"];

function look(i) { return { ink: INKS[i % INKS.length], dash: DASHES[Math.floor(i / INKS.length) % DASHES.length] }; }

function short(name) { return isNarrow() && name.length > 24 ? name.slice(0, 23) + "…" : name; }

function drawOverlay(d) {
  const card = document.getElementById("card-overlay");
  if (!card) return;
  card.hidden = !d.groups.length;
  if (!d.groups.length) return;
  const traces = [];
  for (const g of d.groups) {
    const { ink, dash } = look(g.index);
    if (g.curve.low) traces.push(band(g.curve.x, g.curve.low, g.curve.high, faded(ink, 0.13)));
  }
  for (const g of d.groups) {
    const { ink, dash } = look(g.index), name = short(g.name);
    const curve = line(g.curve, name, ink, { width: 2.3, dash: dash });
    curve.meta = { low: g.curve.low, high: g.curve.high };
    traces.push(curve);
    for (const [part, words, symbol, size] of [["point", "by the rule", "diamond", 11], ["llm", "LLM alone", "star", 13]]) {
      const mark = marks(g[part], g.name + ", " + words, symbol, ink, size);
      if (g[part].x.length) traces.push(Object.assign(mark, { showlegend: false }));
    }
  }
  const wall = { type: "line", x0: 100, x1: 100, yref: "paper", y0: 0, y1: 1, line: { color: color("grey"), width: 1 } };
  Plotly.react("chart-overlay", traces, layout(
    { title: { text: DATA.cost_label }, rangemode: "tozero" }, { title: { text: "pass@1" }, tickformat: ".0%" },
    { shapes: [wall] },
  ), CONFIG);
}

function drawCurves() {
  const box = document.getElementById("chart-curves");
  if (!box) return;
  const traces = [], named = new Set();
  const grid = panelGrid(DATA.curves.length), more = { grid: grid, annotations: [] };
  DATA.curves.forEach((metric, i) => {
    const p = panel(metric.title, i);
    for (const l of metric.lines) {
      const { ink, dash } = look(l.index), first = l.mean && !named.has(l.name);
      if (first) named.add(l.name);
      traces.push(Object.assign({ name: short(l.name), legendgroup: l.name, showlegend: first, x: l.x, y: l.y,
        mode: l.mean && l.x.length <= 20 ? "lines+markers" : "lines", marker: { size: 5, color: color(ink) },
        line: { color: l.mean ? color(ink) : faded(ink, 0.35), width: l.mean ? 2 : 1, dash: l.mean ? dash : "solid" },
        hovertemplate: "step %{x}: %{y:.4g}<extra>" + (l.mean ? l.name : l.run) + "</extra>" }, p.axes));
    }
    Object.assign(more, p.layout);
    more.annotations.push(p.title);
  });
  const above = 40 + 22 * Math.ceil(named.size / (isNarrow() ? 1 : 3));
  box.style.height = grid.rows * 230 + above + "px";
  const full = layout({}, {}, Object.assign(more, { margin: { l: 48, r: 12, t: above, b: 36 } }));
  full.legend = { orientation: "h", yref: "container", y: 1, yanchor: "top", x: 0, font: { size: 12 } };
  Plotly.react(box, traces, full, CONFIG);
}

function start() { startPage((index) => drawOverlay(DATA.datasets[index]), drawCurves); }
