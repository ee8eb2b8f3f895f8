// What every page does: shows one dataset, draws when Plotly is there, redraws for dark, narrow and printed pages.

let shown = 0;

// `draw(index)` draws the charts of a dataset, `drawRest()` those of none; `always(index)` needs no Plotly.
function startPage(draw, drawRest, always) {
  function show(index) {
    shown = index;
    document.querySelectorAll("[data-dataset]").forEach((e) => { e.hidden = Number(e.dataset.dataset) !== index; });
    document.querySelectorAll("[data-show]").forEach((b) => b.setAttribute("aria-pressed", Number(b.dataset.show) === index));
    if (window.Plotly) draw(index);
    if (always) always(index);
    reachScrolled();
  }
  const redraw = () => { show(shown); drawRest(); };
  document.querySelectorAll("[data-show]").forEach((b) => b.addEventListener("click", () => show(Number(b.dataset.show))));
  makeSortable();
  show(0);
  return unpack(document.getElementById("plotly").textContent).then((code) => {
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    redraw();
    addSaves();
    for (const query of ["(prefers-color-scheme: dark)", "(max-width: 599px)"]) window.matchMedia(query).addEventListener("change", redraw);
    window.addEventListener("resize", reachScrolled);
    onPrint(redraw);
    document.body.dataset.ready = "true";
  }, () => {
    document.querySelectorAll(".chart").forEach((e) => {
      e.removeAttribute("role");
      e.textContent = "These charts need a browser of 2023 or later; the same figures are in the folder plots.";
    });
  });
}

// Charts are drawn anew at the width of the paper and in light colours, and once more afterwards.
function onPrint(redraw) {
  const turn = (on) => () => {
    document.documentElement.classList.toggle("printing", on);
    redraw();
    document.querySelectorAll(".chart.js-plotly-plot:not([hidden])").forEach((chart) => {
      if (on) Plotly.relayout(chart, { width: chart.clientWidth, height: chart.clientHeight }); // at once, unlike resize
      else Plotly.relayout(chart, { width: null, height: null, autosize: true });
    });
  };
  window.addEventListener("beforeprint", turn(true));
  window.addEventListener("afterprint", turn(false));
}

// A table that scrolls sideways can be reached and moved by the keyboard.
function reachScrolled() {
  document.querySelectorAll(".scroll").forEach((box) => {
    const hidden = box.scrollWidth > box.clientWidth + 1 || box.scrollHeight > box.clientHeight + 1;
    if (!hidden) { for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name); return; }
    const heading = (box.closest("section") || document).querySelector("h2");
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Table: " + (heading ? heading.textContent : "figures"));
  });
}

