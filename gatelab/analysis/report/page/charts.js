"use strict";

// Draws one panel of a figure with Observable Plot. Colours are variables of the page, so that a change of theme draws nothing anew.
const charts = (() => {
  const paint = (variant) => `var(--colour-${variant.colour})`;
  const SYMBOLS = { circle: "circle", square: "square", triangle: "triangle", diamond: "diamond", cross: "cross", star: "star" };
  const number = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return size !== 0 && (size < 1e-3 || size >= 1e6) ? d3.format(".3~e")(value) : d3.format(",.4~r")(value);
  };

  // On a logarithmic axis the powers of ten; over few decades 2 and 5 as well, and over less than one all digits.
  function logTicks(low, high) {
    const decades = Math.log10(high / low);
    const digits = decades > 2.2 ? [1] : decades > 0.7 ? [1, 2, 5] : [1, 2, 3, 4, 5, 6, 7, 8, 9];
    const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
    const every = Math.ceil((last - first) / 7);
    const ticks = d3.range(first, last + 1, every).flatMap((power) => digits.map((digit) => digit * 10 ** power));
    return ticks.filter((value) => value >= low * 0.999 && value <= high * 1.001);
  }
  function logLabel(value) {
    const power = Math.floor(Math.log10(value) + 1e-9);
    const digit = Math.round(value / 10 ** power);
    return power < -3 || power > 4 ? `${digit === 1 ? "" : `${digit}·`}10${superscript(power)}` : d3.format("~r")(digit * 10 ** power);
  }
  const superscript = (power) => [...String(power)].map((sign) => ({ "-": "⁻" })[sign] ?? "⁰¹²³⁴⁵⁶⁷⁸⁹"[sign]).join("");

  function scale(axis, values) {
    const known = values.filter((value) => value !== null && value !== undefined && Number.isFinite(value) && (!axis.log || value > 0));
    const label = axis.label;
    if (axis.categories) return { type: "point", label };
    if (axis.log && known.length) {
      let [low, high] = d3.extent(known);
      if (high / low < 1.5) [low, high] = [low / 2, high * 2];
      return { type: "log", label, grid: true, domain: [low, high], ticks: logTicks(low, high), tickFormat: logLabel, clamp: true };
    }
    let domain = axis.domain ?? d3.extent(known.length ? known : [0, 1]);
    if (domain[0] === domain[1]) domain = [domain[0] - 0.5, domain[1] + 0.5];
    return { type: "linear", label, grid: true, domain, ticks: 4, nice: !axis.domain, tickFormat: domain[1] >= 1e4 ? "~s" : undefined };
  }

  function base(panel, width, height) {
    return {
      width,
      height,
      marginLeft: 52,
      marginBottom: 36,
      marginTop: 22,
      ariaLabel: panel.title || panel.y.label,
      style: { background: "transparent", fontFamily: "inherit", fontSize: "12px", overflow: "visible" },
    };
  }

  const ACROSS = { labelAnchor: "center", labelArrow: "none" };
  const points = (series) => series.x.map((x, i) => ({ x, y: series.y[i], low: series.low?.[i], high: series.high?.[i] }));

  // What a line that keeps its value until the next point has at x.
  const held = (series, x) => series.y[Math.max(d3.bisectRight(series.x, x) - 1, 0)];

  function ofLines(panel, variants, { width, height, labels, stepped }) {
    const word = (value) => (panel.x.categories ? panel.x.categories[value] : value);
    const all = panel.series.flatMap((s) => points(s).map((p) => ({ ...p, x: word(p.x), variant: variants[s.variant] })));
    const levels = panel.levels.filter(([, value]) => !panel.y.log || value > 0);
    const bounds = all.flatMap((p) => [p.y, ...(panel.y.log ? [] : [p.low, p.high])]).concat(levels.map(([, value]) => value));
    const y = scale(panel.y, bounds);
    const x = { ...scale(panel.x, all.map((p) => p.x)), ...ACROSS, nice: false, grid: false };
    if (panel.x.categories) x.domain = panel.x.categories;
    const floor = panel.y.log ? y.domain[0] : -Infinity;
    const drawn = (value) => value !== null && value !== undefined && (!panel.y.log || value > 0);
    const marks = [];
    const curve = stepped ? "step-after" : "linear";
    for (const s of panel.series) {
      const variant = variants[s.variant];
      const own = points(s).map((p) => ({ ...p, x: word(p.x) }));
      const clear = panel.series.length > 8 ? 0.07 : stepped ? 0.1 : 0.15;
      if (s.low) {
        const band = own.filter((p) => drawn(p.high) && p.low !== null);
        marks.push(Plot.areaY(band, { x: "x", y1: (p) => Math.max(p.low, floor), y2: "high", curve, fill: paint(variant), fillOpacity: clear, clip: true }));
      }
      const line = own.map((p) => (drawn(p.y) ? p : { ...p, y: NaN }));
      marks.push(Plot.line(line, { x: "x", y: "y", curve, stroke: paint(variant), strokeWidth: 2, strokeDasharray: variant.dash || null }));
      const ends = (s.points ?? []).map((x) => ({ x, y: held(s, x) }));
      const tall = (y.domain[1] - y.domain[0]) / 40;
      if (stepped) marks.push(Plot.ruleX(ends, { x: "x", y1: (p) => p.y - tall, y2: (p) => p.y + tall, stroke: paint(variant), strokeWidth: 2 }));
      else if (own.length < 12) marks.push(Plot.dot(line, { x: "x", y: "y", fill: paint(variant), symbol: SYMBOLS[variant.symbol], r: 3.5 }));
    }
    for (const [name, value] of levels) {
      marks.push(Plot.ruleY([value], { stroke: "currentColor", strokeOpacity: 0.55, strokeDasharray: "1 3" }));
      const where = { frameAnchor: "right", dx: -4, dy: -7, fill: "var(--faint)", textAnchor: "end", stroke: "var(--page)" };
      marks.push(Plot.text([value], { y: (v) => v, text: () => `${name} ${number(value)}`, ...where }));
    }
    const title = (p) => `${p.variant.name}\n${panel.x.label}: ${panel.x.categories ? p.x : number(p.x)}\n${panel.y.label}: ${number(p.y)}`;
    marks.push(Plot.tip(all.filter((p) => drawn(p.y)), Plot.pointer({ x: "x", y: "y", title, maxRadius: 30 })));
    const longest = labels ? d3.max(panel.series, (s) => variants[s.variant].name.length) : 0;
    const marginRight = labels ? Math.min(30 + 7 * longest, width / 4) : 16;
    const svg = Plot.plot({ ...base(panel, width, height), marginRight, marginLeft: 58, x, y, marks });
    if (labels) endLabels(svg, panel, variants, word, width - marginRight);
    return svg;
  }

  // Names at the ends of the lines, pushed apart where they would lie over each other.
  function endLabels(svg, panel, variants, word, right) {
    const [x, y] = [svg.scale("x"), svg.scale("y")];
    const ends = panel.series.flatMap((s) => {
      const last = s.y.findLastIndex((value) => value !== null && (!panel.y.log || value > 0));
      if (last < 0) return [];
      const at = x.apply(word(s.x[last]));
      return [{ variant: variants[s.variant], at, own: y.apply(s.y[last]), top: y.apply(s.y[last]) }];
    });
    pushApart(ends);
    const group = d3.select(svg).append("g").attr("aria-hidden", "true");
    for (const end of ends) {
      group.append("path").attr("d", `M${end.at + 3},${end.own}L${right + 8},${end.top}`).attr("stroke", paint(end.variant)).attr("opacity", 0.45).attr("stroke-dasharray", "1 2");
      group.append("text").attr("x", right + 12).attr("text-anchor", "start").attr("y", end.top).attr("dy", "0.35em").attr("fill", "currentColor").text(end.variant.name);
    }
  }

  function pushApart(labels) {
    labels.sort((a, b) => a.top - b.top);
    for (let round = 0; round < 40; round++) {
      for (let i = 1; i < labels.length; i++) {
        const lack = 14 - (labels[i].top - labels[i - 1].top);
        if (lack > 0) {
          labels[i].top += lack / 2;
          labels[i - 1].top -= lack / 2;
        }
      }
    }
  }

  // Names beside single marks. Those that are far from each other across do not push.
  function markLabels(svg, all) {
    const [x, y] = [svg.scale("x"), svg.scale("y")];
    const labels = all.map((p) => ({ name: p.variant.name, at: x.apply(p.x), top: y.apply(p.y) })).sort((a, b) => a.at - b.at);
    const near = d3.groups(labels, (label) => Math.floor(label.at / 70));
    for (const [, members] of near) pushApart(members);
    const group = d3.select(svg).append("g").attr("aria-hidden", "true");
    for (const label of labels) {
      const text = group.append("text").attr("x", label.at + 9).attr("y", label.top).attr("dy", "0.35em").attr("text-anchor", "start");
      text.attr("fill", "currentColor").text(label.name);
    }
  }

  function ofRanges(panel, variants, { width }) {
    const rows = panel.series.map((s, at) => ({
      at,
      name: panel.y.categories[s.y[0]],
      variant: variants[s.variant],
      x: s.x[0],
      low: s.low?.[0] ?? s.x[0],
      high: s.high?.[0] ?? s.x[0],
      points: s.points ?? [],
      note: s.note ?? "",
    }));
    const ends = rows.flatMap((r) => [r.x, r.high, ...r.points, ...(panel.x.log ? [r.low].filter((v) => v > 0 && v > r.x / 30) : [r.low])]);
    const levels = panel.levels.filter(([, value]) => !panel.x.log || value > 0);
    const x = { ...scale(panel.x, ends.concat(levels.map(([, value]) => value))), ...ACROSS };
    const floor = panel.x.log ? x.domain[0] : -Infinity;
    const notes = d3.max(rows, (r) => (r.x === null ? 0 : r.note.length)) ?? 0;
    const most = Math.max(8, Math.floor((width * 0.62 - 7 * notes) / 6.7));
    const shorter = (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
    const longest = d3.max(rows, (r) => shorter(r.name).length) ?? 1;
    const y = { type: "point", domain: d3.range(rows.length), tickFormat: (at) => shorter(rows[at].name), label: null, padding: 0.6 };
    const marks = [];
    const first = d3.min(levels, ([, value]) => value);
    for (const [name, value] of levels) {
      const side = levels.length < 2 ? {} : value === first ? { textAnchor: "end", dx: 8 } : { textAnchor: "start", dx: -8 };
      marks.push(Plot.ruleX([value], { stroke: "currentColor", strokeOpacity: 0.55, strokeDasharray: "1 3" }));
      marks.push(Plot.text([value], { x: (v) => v, text: () => `${name} ${number(value)}`, frameAnchor: "top", dy: -11, fill: "var(--faint)", ...side }));
    }
    for (const r of rows) {
      const colour = paint(r.variant);
      if (r.x === null) {
        marks.push(Plot.text([r], { y: "at", text: "note", frameAnchor: "left", dx: 6, fill: "var(--faint)" }));
        continue;
      }
      const bar = { y: "at", x1: (d) => Math.max(d.low, floor), x2: "high", stroke: colour, strokeWidth: 9, strokeOpacity: 0.35 };
      marks.push(Plot.ruleY([r], { ...bar, strokeLinecap: "round" }));
      marks.push(Plot.dot(r.points, { x: (v) => v, y: () => r.at, r: 3, fill: "var(--page)", stroke: colour, strokeWidth: 1.3 }));
      marks.push(Plot.dot([r], { x: "x", y: "at", r: 6, fill: colour, symbol: SYMBOLS[r.variant.symbol], stroke: "var(--page)" }));
    }
    const shown = rows.filter((r) => r.x !== null);
    marks.push(Plot.text(shown, { y: "at", text: "note", frameAnchor: "right", dx: 8, textAnchor: "start", fill: "var(--faint)" }));
    const title = (r) => `${r.name}\n${panel.x.label}: ${number(r.x)}\n${number(r.low)} to ${number(r.high)}`;
    marks.push(Plot.tip(shown, Plot.pointer({ x: "x", y: "at", title, maxRadius: 40 })));
    const height = 62 + 30 * rows.length;
    const side = { marginLeft: 18 + 6.9 * longest, marginRight: 26 + 6.6 * notes };
    return Plot.plot({ ...base(panel, width, height), ...side, x, y: { ...y, tickSize: 0 }, marks });
  }

  function ofDots(panel, variants, { width, height }) {
    const single = panel.series.every((s) => s.x.length === 1);
    const all = panel.series.flatMap((s) => points(s).map((p) => ({ ...p, variant: variants[s.variant] })));
    const x = { ...scale(panel.x, all.map((p) => p.x)), ...ACROSS };
    const y = scale(panel.y, all.flatMap((p) => [p.y, ...(panel.y.log ? [] : [p.low, p.high])]).concat(panel.levels.map(([, v]) => v)));
    if (panel.x.log) x.domain = [x.domain[0] / 1.15, x.domain[1] * 1.3];
    const floor = panel.y.log ? y.domain[0] : -Infinity;
    const marks = panel.diagonal ? [Plot.line([[0, 1], [1, 0]], { stroke: "currentColor", strokeOpacity: 0.4, strokeDasharray: "1 3" })] : [];
    for (const [, value] of panel.levels) marks.push(Plot.ruleY([value], { stroke: "currentColor", strokeOpacity: 0.55, strokeDasharray: "1 3" }));
    for (const s of panel.series) {
      const variant = variants[s.variant];
      const own = points(s);
      if (s.low) {
        marks.push(Plot.ruleX(own, { x: "x", y1: (p) => Math.max(p.low, floor), y2: "high", stroke: paint(variant), strokeOpacity: 0.4, strokeWidth: 5 }));
      }
      const look = single ? { r: 6, stroke: "var(--page)", fillOpacity: 1 } : { r: 3.5, stroke: paint(variant), fillOpacity: 0.3, strokeOpacity: 0.8 };
      marks.push(Plot.dot(own, { x: "x", y: "y", symbol: SYMBOLS[variant.symbol], fill: paint(variant), ...look }));
    }
    const title = (p) => `${p.variant.name}\n${panel.x.label}: ${number(p.x)}\n${panel.y.label}: ${number(p.y)}`;
    marks.push(Plot.tip(all, Plot.pointer({ x: "x", y: "y", title, maxRadius: 30 })));
    const svg = Plot.plot({ ...base(panel, width, height), marginRight: single ? 70 : 16, marginLeft: 58, x, y, marks });
    if (single && all.length <= 12) markLabels(svg, all);
    return svg;
  }

  function ofHeat(panel, variants, { width, height }) {
    const [s] = panel.series;
    const [columns, rows] = [s.x.length, panel.z.length];
    const half = columns > 1 ? (s.x[columns - 1] - s.x[0]) / (columns - 1) / 2 : 0.5;
    const names = panel.y.categories;
    const x = { label: panel.x.label, domain: [s.x[0] - half, s.x[columns - 1] + half], ticks: 4, nice: false, ...ACROSS };
    const y = { label: names ? null : panel.y.label, domain: [0, rows], nice: false };
    if (names) Object.assign(y, { ticks: names.map((_, i) => i + 0.5), tickFormat: (v) => names[Math.floor(v)], tickSize: 0 });
    else Object.assign(y, { ticks: [] });
    const where = { width: columns, height: rows, x1: x.domain[0], x2: x.domain[1], y1: 0, y2: rows };
    const longest = names ? d3.max(names, (name) => name.length) : 0;
    return Plot.plot({
      ...base(panel, width, names ? 62 + 24 * rows : height),
      marginLeft: names ? 14 + 7 * longest : 20,
      marginRight: 12,
      x,
      y,
      color: { scheme: "cividis", domain: [0, 1], unknown: "transparent" },
      marks: [Plot.raster(panel.z.flat().map((v) => v ?? NaN), { ...where, imageRendering: "pixelated" }), Plot.frame({ strokeOpacity: 0.3 })],
    });
  }

  const KINDS = { lines: ofLines, steps: ofLines, ranges: ofRanges, dots: ofDots, heat: ofHeat };

  // Notes of the lines, such as half-lives, below a panel that is too small for them.
  function key(panel, variants) {
    const noted = panel.series.filter((s) => s.note);
    const list = document.createElement("p");
    list.className = "key";
    for (const s of noted) {
      const item = list.appendChild(document.createElement("span"));
      const mark = item.appendChild(document.createElement("i"));
      mark.style.background = paint(variants[s.variant]);
      item.append(`${variants[s.variant].name} ${s.note}`);
    }
    return list;
  }

  // All panels of a figure, with the visible variants only.
  function draw(figure, variants, visible, into) {
    into.replaceChildren();
    if (figure.kind === "heat") into.append(Plot.legend({ color: { scheme: "cividis", domain: [0, 1], label: "mean activation" }, width: 220 }));
    const grid = into.appendChild(document.createElement("div"));
    grid.className = "grid";
    if (figure.columns) grid.style.setProperty("--columns", figure.columns);
    const panels = figure.panels
      .map((panel) => ({ ...panel, series: panel.series.filter((s) => visible(variants[s.variant])) }))
      .filter((panel) => panel.series.length);
    grid.classList.toggle("single", panels.length === 1 && figure.kind !== "heat");
    const cells = panels.map((panel) => {
      const cell = grid.appendChild(document.createElement("div"));
      if (panel.column !== null) cell.style.setProperty("--column", panel.column + 1);
      if (panel.title) cell.appendChild(document.createElement("h5")).textContent = panel.title;
      return cell;
    });
    panels.forEach((panel, i) => {
      const width = Math.max(Math.floor(cells[i].clientWidth), 220);
      const large = figure.wide && panels.length === 1;
      const height = large ? 340 : figure.kind === "heat" ? 150 : 250;
      const size = { width, height, labels: large, stepped: figure.kind === "steps" };
      const svg = KINDS[figure.kind](panel, variants, size);
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", [figure.title, panel.title].filter(Boolean).join(": "));
      cells[i].append(svg);
      if (figure.kind === "lines" && panel.series.some((s) => s.note)) cells[i].append(key(panel, variants));
    });
    if (!panels.length) grid.textContent = "Nothing is left to draw: the filters hide it all.";
  }

  // The numbers of a figure, one line each.
  function csv(figure, variants) {
    const quoted = (value) => {
      const text = value === null || value === undefined ? "" : String(value);
      // A spreadsheet would run what begins so as a formula.
      const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
      return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
    };
    const lines = [["panel", "variant", "x_axis", "x", "y_axis", "y", "low", "high", "value"]];
    for (const panel of figure.panels) {
      for (const s of panel.series) {
        const word = (axis, value) => (axis.categories ? axis.categories[value] : value);
        const line = (x, y, low, high, value) => lines.push([panel.title, variants[s.variant].name, panel.x.label, word(panel.x, x), panel.y.label, word(panel.y, y), low, high, value]);
        if (panel.z) panel.z.forEach((row, r) => row.forEach((value, c) => line(s.x[c], s.y[r], null, null, value)));
        else s.x.forEach((x, i) => line(x, s.y[i], s.low?.[i], s.high?.[i], null));
        for (const point of s.points ?? []) line(point, figure.kind === "steps" ? held(s, point) : s.y[0], null, null, null);
      }
    }
    return `${lines.map((line) => line.map(quoted).join(",")).join("\n")}\n`;
  }

  return { draw, csv };
})();
