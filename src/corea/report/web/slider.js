// Moves the threshold: shows the figures of the cascade, the point in the charts, and the questions that move to
// another model.

const LISTED = 25;
const VERDICTS = ["neither is right", "only the large model is right", "only the small model is right", "both are right"];

function sliderStart(d) {
  const x = d.thresholds.x, wanted = d.chosen === null ? x[Math.floor(x.length / 2)] : d.chosen;
  let best = 0;
  x.forEach((t, i) => { if (t <= wanted + 1e-9) best = i; });
  // the rule's threshold defers the same questions as the next observed threshold above it
  return d.chosen !== null && x[best] < wanted - 1e-9 && best + 1 < x.length ? best + 1 : best;
}

function setupSlider(d) {
  const slider = document.getElementById("slider");
  slider.max = d.thresholds.x.length - 1;
  slider.value = sliderStart(d);
  slider.dataset.start = slider.value;
  moveSlider(d);
}

function percentText(value, digits) { return (100 * value).toFixed(digits === undefined ? 1 : digits) + " %"; }

function moveSlider(d) {
  const slider = document.getElementById("slider"), i = Number(slider.value), t = d.thresholds;
  const all = t.x[i] > 1, put = (id, text) => { document.getElementById(id).textContent = text; };
  slider.setAttribute("aria-valuetext", all ? "everything deferred" : "threshold " + t.x[i]);
  put("at-threshold", all ? "above 1" : String(t.x[i]));
  put("at-accuracy", percentText(t.accuracy[i]));
  const change = 100 * (t.accuracy[i] - d.llm_accuracy);
  put("at-change", (change >= 0 ? "+" : "\u2212") + Math.abs(change).toFixed(1) + " points against the LLM alone");
  put("at-cost", t.cost_percent[i] === null ? t.cost[i] : t.cost_percent[i].toFixed(1) + " %");
  put("at-dollars", t.cost[i]);
  document.getElementById("at-cost").classList.toggle("bad", t.cost_percent[i] !== null && t.cost_percent[i] > 100);
  put("at-deferral", percentText(t.deferral[i]));
  listHands(d, i, Number(slider.dataset.start));
  if (!window.Plotly) return;
  const charts = [["chart-pareto", t.cost_percent[i], t.accuracy[i]], ["chart-thresholds", t.x[i], t.accuracy[i]]];
  for (const [id, x, y] of charts) {
    const chart = document.getElementById(id);
    const at = (chart.data || []).findIndex((trace) => trace.name === "slider");
    if (at >= 0) Plotly.restyle(chart, { x: [[x]], y: [[y]] }, [at]);
  }
}

function sliderMark(d) {
  return { x: [null], y: [null], name: "slider", mode: "markers", hoverinfo: "skip",
    marker: { symbol: "circle-open", size: 17, color: color("ink"), line: { width: 2.5, color: color("ink") } } };
}

function listHands(d, now, start) {
  const a = d.thresholds.x[Math.min(now, start)], b = d.thresholds.x[Math.max(now, start)], q = d.questions;
  const moved = [];
  q.id.forEach((id, k) => {
    const c = q.confidence[k];
    if (c !== null && c >= a && c < b) moved.push(k);
  });
  const words = document.getElementById("hands-words"), body = document.getElementById("hands-body");
  body.replaceChildren();
  const part = q.id.length < q.all ? " (of an evenly spaced sample of " + q.id.length + " questions)" : "";
  const tally = [0, 0, 0, 0];
  moved.forEach((k) => { tally[q.outcome[k]] += 1; });
  if (now === start) {
    words.textContent = "Move the slider: questions that move to the other model are listed here.";
  } else {
    const gained = now > start ? tally[1] : tally[2], lost = now > start ? tally[2] : tally[1];
    words.textContent = moved.length + " questions go " + (now > start ? "to the large model" : "back to the small model")
      + part + ": " + gained + " become right, " + lost + " become wrong."
      + (moved.length > LISTED ? " The first " + LISTED + ":" : "");
  }
  document.getElementById("hands").hidden = !moved.length || now === start;
  for (const k of moved.slice(0, LISTED)) {
    const row = document.createElement("tr");
    for (const text of [q.id[k], String(q.confidence[k]), VERDICTS[q.outcome[k]]]) {
      const cell = document.createElement(row.cells.length ? "td" : "th");
      if (!row.cells.length) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    }
    body.append(row);
  }
}
