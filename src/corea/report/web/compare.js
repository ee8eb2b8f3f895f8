// Charts that compare signals, tiers, recorded and graded verdicts, and prices.

function drawComparisons(d) { drawSignals(d); drawTiers(d); drawAudit(d); drawPrices(d); }

const INKS = ["blue", "orange", "green", "red", "purple", "grey"];

function drawAccuracyOverCost(box, traces, d) {
  Plotly.react(box, traces, layout(
    { title: { text: d.cost_label }, rangemode: "tozero" }, { title: { text: "pass@1" }, tickformat: ".0%" },
  ), CONFIG);
}

function drawSignals(d) {
  const box = document.getElementById("chart-signals");
  if (!box || !d.signals.length) return;
  const dashes = { isotonic: "dot", platt: "dash" };
  const raw = d.signals.map((s) => s.name.split(", ")[0]).filter((n, i, a) => a.indexOf(n) === i);
  const traces = d.signals.map((s) => {
    const [base, kind] = s.name.split(", ");
    return { x: s.x, y: s.y, name: s.name, mode: "lines", visible: kind ? "legendonly" : true, showlegend: !kind || !isNarrow(), hovertemplate: "%{x:.1f} %: %{y:.1%}<extra>" + s.name + "</extra>",
      line: { color: color(INKS[raw.indexOf(base) % INKS.length]), dash: dashes[kind] || "solid", width: kind ? 1.4 : 2.2 } };
  });
  drawAccuracyOverCost(box, traces, d);
}

function drawTiers(d) {
  const box = document.getElementById("chart-tiers");
  if (!box || !d.tiers.length) return;
  const traces = d.tiers.map((t, i) => ({
    x: t.x, y: t.y, text: t.text, name: "tiers " + t.name, mode: "lines+markers", marker: { size: 5 },
    line: { color: color(INKS[i % INKS.length]), width: t.name.split("-").length > 2 ? 2.4 : 1.6 },
    hovertemplate: "thresholds %{text}<br>%{x:.1f} %: %{y:.1%}<extra>" + t.name + "</extra>",
  }));
  drawAccuracyOverCost(box, traces, d);
}

function drawAudit(d) {
  const box = document.getElementById("chart-audit");
  if (!box || !d.audit.length) return;
  const traces = [];
  d.audit.forEach((a, i) => {
    const ink = i ? "blue" : "orange";
    traces.push(band(a.x, a.low, a.high, faded(ink, 0.15)));
    traces.push({ x: a.x, y: a.y, name: a.name + (isNarrow() ? "" : " verdicts"), mode: "lines", line: { color: color(ink), width: 2.2 },
      meta: { low: a.low, high: a.high }, hovertemplate: "%{x:.1f} %: %{y:.1%}<extra>" + a.name + "</extra>" });
  });
  drawAccuracyOverCost(box, traces, d);
}

function drawPrices(d) {
  const p = d.prices, box = document.getElementById("chart-prices");
  box.hidden = !p.x;
  if (!p.x) return;
  const text = { x: p.x, y: p.y, text: p.x.map((x, i) => "an LLM answer costs " + x.toPrecision(3) + " SLM answers: " + p.y[i].toFixed(1) + " %") };
  const traces = [band(p.x, p.low, p.high, faded("blue", 0.18)), line(text, "cost against the LLM alone", "blue", { width: 2.4 })];
  traces[1].meta = { low: p.low, high: p.high };
  const shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 0, y1: 0, line: { color: color("grey"), width: 1 } }];
  const annotations = [];
  for (const [at, words, ink, y] of [[p.here, "this table", "ink", 0.98], [p.even, (isNarrow() ? "pays" : "pays from here on"), "green", 0.88]]) {
    if (at === null || at < 1 || at > 200) continue;
    shapes.push({ type: "line", x0: at, x1: at, yref: "paper", y0: 0, y1: 1, line: { color: color(ink), dash: "dot", width: 1.4 } });
    const right = Math.log(at) / Math.log(200) > 0.6;
    annotations.push({ x: Math.log10(at), yref: "paper", y: y, text: words, showarrow: false, xanchor: right ? "right" : "left", font: { size: 12, color: color("ink") } });
  }
  Plotly.react(box, traces, layout(
    { type: "log", title: { text: isNarrow() ? "price ratio" : "price ratio: an LLM answer in SLM answers" }, range: [0, Math.log10(200)], tickvals: [1, 2, 5, 10, 20, 50, 100, 200] },
    { title: { text: "cost, %" } }, { shapes: shapes, annotations: annotations, showlegend: false },
  ), CONFIG);
}

