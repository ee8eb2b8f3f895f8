// Draws the charts of the report.

const RULE_MARKS = {
  llm_accuracy: ["diamond", "red"], max_drop: ["square", "purple"], budget: ["cross", "ink"],
  guarantee: ["x", "green"], fixed: ["triangle-up", "orange"],
};

function drawPareto(d) {
  const p = d.pareto, traces = [];
  traces.push(line(p.oracle, "oracle", "green", { dash: "dot" }));
  traces.push(line(p.random, "random", "grey", { dash: "dash" }));
  if (p.before) traces.push(line(p.before, "before RL", "orange", {}));
  if (p.cascade.low) traces.push(band(p.cascade.x, p.cascade.low, p.cascade.high, faded("blue", 0.18)));
  const cascade = line(p.cascade, "cascade", "blue", { width: 2.6 });
  cascade.meta = { low: p.cascade.low, high: p.cascade.high };
  if (p.cascade.x.length <= 120) Object.assign(cascade, { mode: "lines+markers", marker: { size: 6 } });
  traces.push(cascade);
  traces.push(marks(p.slm, "SLM alone", "triangle-down", "ink", 13));
  traces.push(marks(p.llm, "LLM alone", "star", "ink", 15));
  for (const rule of p.rules) {
    const [symbol, ink] = RULE_MARKS[rule.name] || ["circle", "grey"];
    traces.push(marks(rule, isNarrow() ? rule.name : "rule " + rule.name, symbol, ink, 13));
  }
  const wall = { type: "line", x0: 100, x1: 100, yref: "paper", y0: 0, y1: 1, line: { color: color("grey"), width: 1 } };
  traces.push(sliderMark(d));
  Plotly.react("chart-pareto", traces, layout(
    { title: { text: d.cost_label }, rangemode: "tozero" }, { title: { text: "pass@1" }, tickformat: ".0%" },
    { shapes: [wall] },
  ), CONFIG);
}

function drawReliability(d) {
  const traces = [{
    x: [0, 1], y: [0, 1], mode: "lines", line: { color: color("grey"), dash: "dash", width: 1.2 }, name: "calibrated",
    hoverinfo: "skip",
  }];
  for (const [when, ink] of [["before", "orange"], ["after", "blue"]]) {
    const r = d.reliability[when];
    if (!r) continue;
    traces.push({
      x: r.x, y: r.y, name: d.reliability.before ? when + " RL" : "small model", mode: "lines+markers", text: r.text,
      line: { color: color(ink), width: 1.4 },
      marker: { color: color(ink), size: r.size, line: { width: 0 } },
      error_y: { type: "data", symmetric: false, array: r.up, arrayminus: r.down, color: faded(ink, 0.55), thickness: 1.2, width: 0 },
      hovertemplate: "%{text}<extra></extra>",
    });
  }
  const range = [-0.03, 1.03];
  Plotly.react("chart-reliability", traces, layout(
    { title: { text: "stated confidence" }, range: range }, { title: { text: "share right" }, range: range },
  ), CONFIG);
}

function drawHistogram(d) {
  const traces = [], kinds = d.histogram.before ? ["before", "after"] : ["after"];
  kinds.forEach((when, i) => {
    const h = d.histogram[when], axes = { xaxis: "x", yaxis: i ? "y2" : "y" };
    for (const [key, ink, pattern] of [["right", "blue", ""], ["wrong", "orange", "/"]]) {
      traces.push(Object.assign({
        type: "bar", x: h.x, y: h[key], width: h.width, name: key, showlegend: i === 0,
        marker: { color: color(ink), pattern: { shape: pattern, fillmode: "overlay", fgcolor: color("card"), solidity: 0.25, size: 7 }, line: { width: 0 } },
        hovertemplate: "confidence %{x:.2f}: %{y} " + key + "<extra>" + (kinds.length > 1 ? when + " RL" : "") + "</extra>",
      }, axes));
    }
  });
  const more = { barmode: "stack", bargap: 0 };
  const y = { title: { text: kinds.length > 1 ? "before RL" : "answers" } };
  if (kinds.length > 1) {
    y.domain = [0.55, 1];
    more.yaxis2 = { domain: [0, 0.45], title: { text: "after RL" }, gridcolor: color("grid"), zeroline: false, automargin: true };
  }
  const x = { title: { text: "stated confidence" }, range: [-0.05, 1.05], anchor: kinds.length > 1 ? "y2" : "y" };
  Plotly.react("chart-histogram", traces, layout(x, y, more), CONFIG);
}

function drawThresholds(d) {
  const t = d.thresholds, step = { shape: "vh" }, traces = [];
  for (const [key, name, ink, dash] of [["accuracy", "accuracy", "blue", "solid"], ["deferral", "sent to the LLM", "red", "dash"]]) {
    traces.push(Object.assign(line({ x: t.x, y: t[key], text: t.text }, name, ink, Object.assign({ dash: dash, width: 2.2 }, step))));
  }
  traces.push(sliderMark(d));
  const level = { type: "line", xref: "paper", x0: 0, x1: 1, y0: d.llm_accuracy, y1: d.llm_accuracy, line: { color: color("ink"), dash: "dot", width: 1.2 } };
  const label = { xref: "paper", x: 0.01, y: d.llm_accuracy, yanchor: "bottom", xanchor: "left", text: "LLM alone", showarrow: false, font: { size: 12, color: color("soft") } };
  Plotly.react("chart-thresholds", traces, layout(
    { title: { text: "threshold" }, range: [-0.02, 1.03] }, { tickformat: ".0%", range: [-0.02, 1.06] },
    { shapes: [level], annotations: [label] },
  ), CONFIG);
}

function drawTraining() {
  if (!DATA.training.length) return;
  const grid = panelGrid(DATA.training.length), traces = [], more = { showlegend: false, grid: grid, annotations: [] };
  DATA.training.forEach((metric, i) => {
    const p = panel(metric.title, i);
    const both = [["value", faded("blue", 0.35), 1], ["smooth", color("blue"), 2]];
    for (const [key, ink, width] of both) {
      const name = metric.title + (key === "smooth" ? ", running mean" : "");
      traces.push(Object.assign({ name: name, x: metric.step, y: metric[key], mode: "lines", line: { color: ink, width: width },
        hovertemplate: "step %{x}: %{y:.4g}<extra>" + metric.title + "</extra>" }, p.axes));
    }
    Object.assign(more, p.layout);
    more.annotations.push(p.title);
  });
  const box = document.getElementById("chart-training");
  box.style.height = grid.rows * 230 + "px";
  const full = layout({}, {}, Object.assign(more, { margin: { l: 48, r: 12, t: 30, b: 36 } }));
  Plotly.react(box, traces, full, CONFIG);
}

function drawAll(index) {
  const d = DATA.datasets[index];
  drawPareto(d); drawReliability(d); drawHistogram(d); drawThresholds(d); drawComparisons(d);
}

function start() {
  document.getElementById("slider").addEventListener("input", () => moveSlider(DATA.datasets[shown]));
  startPage(drawAll, drawTraining, (index) => setupSlider(DATA.datasets[index]));
}

