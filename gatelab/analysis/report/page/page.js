"use strict";

// What the reader does with the page: filters, theme, downloads; and if it is served, news of runs that go on.
(() => {
  const hidden = new Set();
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const remembered = (() => {
    try {
      return localStorage.getItem("gatelab-theme");
    } catch {
      return null; // a page from a file may have no storage
    }
  })();

  let variants = [];
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
  const visible = (variant) => !variant.tokens.some((token) => hidden.has(token));
  const figureOf = (plot) => (plot.figure ??= JSON.parse(plot.querySelector("script").textContent));

  function draw(plot) {
    if (plot.clientWidth === 0) return; // hidden, or folded away
    charts.draw(figureOf(plot), variants[plot.dataset.problem], visible, plot.querySelector(".panels"));
    plot.drawn = plot.clientWidth;
  }

  const inSight = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        target.near = isIntersecting;
        if (isIntersecting && target.drawn !== target.clientWidth) draw(target);
      }
    },
    { rootMargin: "400px" },
  );

  const plots = () => document.querySelectorAll(".plot");
  const stale = () => {
    for (const plot of plots()) {
      plot.drawn = undefined;
      if (plot.near) draw(plot);
    }
  };

  function filter() {
    for (const element of document.querySelectorAll("[data-task]")) element.hidden = hidden.has(`task:${element.dataset.task}`);
    for (const element of document.querySelectorAll("[data-cell]")) element.hidden = hidden.has(`cell:${element.dataset.cell}`);
    for (const row of document.querySelectorAll("tr[data-tokens]")) row.hidden = !visible({ tokens: JSON.parse(row.dataset.tokens) });
    for (const box of document.querySelectorAll("input[data-token]")) box.checked = !hidden.has(box.dataset.token);
    document.getElementById("reset").disabled = hidden.size === 0;
    stale();
  }

  function theme(choice) {
    if (choice) root.dataset.theme = choice;
    document.getElementById("theme").textContent = isDark() ? "Light" : "Dark";
    document.getElementById("theme").setAttribute("aria-label", `Switch to the ${isDark() ? "light" : "dark"} theme`);
  }

  function save(name, type, text) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // The panels of a figure as one picture that needs no page around it.
  function picture(plot) {
    const all = [...plot.querySelectorAll(".panels .grid > div")];
    const frame = plot.querySelector(".panels").getBoundingClientRect();
    const style = getComputedStyle(document.body);
    const resolved = (text) => text.replace(/var\((--[\w-]+)\)/g, (_, name) => getComputedStyle(root).getPropertyValue(name).trim());
    const parts = all.flatMap((cell) => {
      const [box, svg] = [cell.getBoundingClientRect(), cell.querySelector("svg")];
      if (!svg) return [];
      const at = svg.getBoundingClientRect();
      const copy = svg.cloneNode(true);
      copy.setAttribute("x", at.left - frame.left);
      copy.setAttribute("y", at.top - frame.top);
      const title = document.createElement("span");
      title.textContent = cell.querySelector("h5")?.textContent ?? "";
      return [`<text x="${box.left - frame.left}" y="${box.top - frame.top + 13}" font-weight="600" fill="currentColor">${title.innerHTML}</text>`, new XMLSerializer().serializeToString(copy)];
    });
    const head = `<svg xmlns="http://www.w3.org/2000/svg" width="${frame.width}" height="${frame.height}" font-family="sans-serif" font-size="12" style="color:${style.color};background:${style.backgroundColor}">`;
    return resolved(`${head}${parts.join("")}</svg>`);
  }

  // Marks of the cells in the filters, which are the legend of all figures.
  function swatches() {
    for (const swatch of document.querySelectorAll(".swatch:not([data-done])")) {
      swatch.dataset.done = "";
      const shape = d3[`symbol${swatch.dataset.symbol[0].toUpperCase()}${swatch.dataset.symbol.slice(1)}`];
      d3.select(swatch).append("path").attr("d", d3.symbol(shape, 48)()).attr("transform", "translate(15,7)").attr("fill", "currentColor");
    }
  }

  function start() {
    variants = JSON.parse(document.getElementById("variants").textContent);
    swatches();
    theme();
    filter();
    inSight.disconnect();
    for (const plot of plots()) inSight.observe(plot);
    for (const fold of document.querySelectorAll("details")) fold.addEventListener("toggle", () => fold.querySelectorAll(".plot").forEach(draw));
  }

  document.addEventListener("change", ({ target }) => {
    if (!target.dataset?.token) return;
    hidden[target.checked ? "delete" : "add"](target.dataset.token);
    filter();
  });
  document.addEventListener("click", ({ target }) => {
    if (target.id === "reset") {
      hidden.clear();
      filter();
    } else if (target.id === "theme") {
      const choice = isDark() ? "light" : "dark";
      theme(choice);
      try {
        localStorage.setItem("gatelab-theme", choice);
      } catch {} // the choice then holds for this page only
    } else if (target.dataset?.save) {
      const plot = target.closest(".plot");
      if (target.dataset.save === "csv") save(`${plot.id}.csv`, "text/csv", charts.csv(figureOf(plot), variants[plot.dataset.problem]));
      else save(`${plot.id}.svg`, "image/svg+xml", picture(plot));
    }
  });
  dark.addEventListener("change", () => theme());
  let waiting;
  addEventListener("resize", () => {
    clearTimeout(waiting);
    waiting = setTimeout(stale, 150);
  });
  addEventListener("beforeprint", () => {
    for (const fold of document.querySelectorAll("main details:has(.plot)")) fold.open = true;
    for (const plot of plots()) if (!plot.drawn) draw(plot);
  });

  if (remembered) root.dataset.theme = remembered;
  start();

  if (document.body.hasAttribute("data-live")) live();

  // Asks for the state of the runs; when it has changed, takes the new page's content and keeps place, filters and theme.
  function live() {
    let known = null;
    const note = (text) => (document.getElementById("live").textContent = text);
    setInterval(async () => {
      try {
        const state = await (await fetch("state")).json();
        if (known !== null && state.version !== known) {
          const page = new DOMParser().parseFromString(await (await fetch("./")).text(), "text/html");
          const [focus, top] = [document.activeElement?.id, scrollY];
          const folds = [...document.querySelectorAll("main details")].map((fold) => fold.open);
          document.getElementById("report").replaceWith(page.getElementById("report"));
          document.querySelectorAll("main details").forEach((fold, i) => (fold.open = folds[i] ?? false));
          start();
          scrollTo(0, top);
          if (focus) document.getElementById(focus)?.focus();
        }
        known = state.version;
        note(state.running ? `${state.running} still running.` : "Nothing is running.");
      } catch {
        note("The dashboard no longer answers; this is its last state.");
      }
    }, 2000);
  }
})();
