"use strict";

// Draws the figures of the page when they come into sight, in the colours of its theme, and lets the legends hide lines.
(() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function axis(own) {
    const title = { ...own.title, standoff: 6, font: { size: 12 } };
    const look = { gridcolor: colour("--line"), linecolor: colour("--line"), zeroline: false, automargin: true };
    return { ...look, ...own, title, exponentformat: own.type === "log" ? "power" : "SI", nticks: 6 };
  }

  function themed(layout, large) {
    return {
      ...layout,
      xaxis: axis(layout.xaxis),
      yaxis: axis(layout.yaxis),
      font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("--text") },
      hoverlabel: { namelength: -1 },
      hovermode: "closest",
      showlegend: false,
      margin: { l: 52, r: 12, t: large ? 30 : 12, b: 40 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--faint"), activecolor: colour("--text") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
    };
  }

  const shown = (plot, trace) => {
    const button = trace.meta && plot.closest("section").querySelector(`button[data-line="${trace.meta}"]`);
    return !button || button.getAttribute("aria-pressed") === "true";
  };

  function draw(plot) {
    const figure = JSON.parse(plot.querySelector("script").textContent);
    for (const trace of figure.data) {
      trace.visible = shown(plot, trace);
      if (!trace.meta) {
        trace.line.color = colour("--faint");
        trace.textfont = { color: colour("--faint") };
      }
    }
    plot.figure = figure;
    const large = plot.classList.contains("large");
    // The buttons are listed: Plotly's own choice includes some that send data away.
    const buttons = [["toImage", "zoom2d", "pan2d", "resetScale2d"]];
    const config = { responsive: true, displaylogo: false, displayModeBar: large, modeBarButtons: buttons };
    Plotly.react(plot.querySelector("div"), figure.data, themed(figure.layout, large), config);
  }

  const plots = [...document.querySelectorAll(".plot")];
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting && !entry.target.figure) draw(entry.target);
      }
    },
    { rootMargin: "300px" },
  );
  for (const plot of plots) seen.observe(plot);

  const redraw = (within) => {
    for (const plot of plots) if (plot.figure && within.contains(plot)) draw(plot);
  };
  for (const button of document.querySelectorAll("button[data-line]")) {
    button.addEventListener("click", () => {
      button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
      redraw(button.closest("section"));
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw(document.body));
  addEventListener("beforeprint", () => {
    for (const plot of plots) if (!plot.figure) draw(plot);
  });
})();
