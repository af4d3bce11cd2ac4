"use strict";

const data = JSON.parse(document.getElementById("data").textContent);

// Charts are drawn in the colours of the style sheet; who changes the scheme of the system gets them drawn anew.
const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => location.reload());
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const INK = colour("ink"), PAPER = colour("paper"), LINE = colour("line"), QUIET = colour("unscaled"), MARK = colour("mark"), SPATIAL = colour("spatial"), ZONE = colour("zone");
// Heat maps go from paper over grey, what rounding allows, to orange.
const [RIGHT, ROUNDING, DOUBT, WRONG] = dark.matches ? ["#16181b", "#4a4f55", "#8a5a2b", "#a8541f"] : ["#ffffff", "#bdbdbd", "#f7c99b", "#f5a35c"];
const FONT = { family: "system-ui, sans-serif", size: 13, color: INK };
// Named one by one: Plotly's own choice has a button that sends a chart to a server.
const BUTTONS = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS };
// No corner of a panel is free of curves at every length: legends stand above.
const ABOVE = { orientation: "h", x: 1, xanchor: "right", y: 1, yanchor: "bottom" };
const narrow = matchMedia("(max-width: 40em)");
const number = new Intl.NumberFormat("en-US");

function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function short(value) {
  return value === 0 || (Math.abs(value) >= 0.01 && Math.abs(value) < 1e6) ? String(+value.toPrecision(5)) : value.toExponential(3);
}

function axis(title, more = {}) {
  return { title: { text: title, font: { size: 12 }, standoff: 12 }, gridcolor: LINE, zeroline: false, ...more };
}

function layout(title, x, y, more = {}) {
  return {
    title: { text: title, font: { size: 15 }, x: 0.01, xanchor: "left" }, font: FONT, xaxis: x, yaxis: y,
    margin: { l: 80, r: 15, t: 55, b: 45 }, legend: ABOVE, paper_bgcolor: PAPER, plot_bgcolor: PAPER, modebar: { color: QUIET, activecolor: INK, bgcolor: "rgba(0,0,0,0)" }, hovermode: "closest", ...more,
  };
}

const logAxis = (title, range) => axis(title, { type: "log", exponentformat: "power", dtick: 1, range });

// The range of a chart over all lengths, so that it is the curve that moves with the slider and not the axis; marks are in it.
function logRange(rope, value, marks = []) {
  const values = [rope.unscaled, ...rope.tables.map((table) => table.inv_freq)].flat().map(value).concat(marks).filter((one) => one > 0);
  return [Math.log10(Math.min(...values)) - 0.3, Math.log10(Math.max(...values)) + 0.3];
}

function largestDivisor(rope) {
  const divisors = rope.tables.flatMap((table) => table.inv_freq.map((frequency, pair) => (frequency > 0 ? rope.unscaled[pair] / frequency : 1)));
  return Math.max(2, ...divisors);
}

function tokens(length) {
  if (length >= 1 << 20) return `${length / (1 << 20)}M`;
  return length >= 1 << 10 ? `${length / (1 << 10)}k` : String(length);
}

function lengthAxis(rope) {
  const powers = [];
  for (let power = 16; power <= rope.lengths.at(-1); power *= 4) powers.push(power);
  return axis("sequence length [tokens, k = 1,024]", {
    type: "log", tickvals: powers, ticktext: powers.map(tokens), range: [Math.log10(0.8 * rope.lengths[0]), Math.log10(1.2 * rope.lengths.at(-1))],
  });
}

// Each rope has its own grid of lengths; the slider moves on the finest of all, and each rope takes its last step up to there.
const lengths = [...new Set(data.ropes.flatMap((rope) => rope.lengths))].sort((a, b) => a - b);

function tableAt(rope, length) {
  let step = 0;
  while (step + 1 < rope.lengths.length && rope.lengths[step + 1] <= length) step += 1;
  return rope.tables[rope.steps[step]];
}

const wavelength = (frequency) => (frequency > 0 ? (2 * Math.PI) / frequency : null);
const positive = (frequency) => (frequency > 0 ? frequency : null);

function hoverText(rope, table, length) {
  return table.inv_freq.map((frequency, pair) => {
    const [first, second] = rope.channels[pair];
    const lines = [`<b>pair ${pair}</b>, channels ${first} and ${second}`];
    if (rope.axes) lines.push(`position axis ${rope.axes[pair]}`);
    if (frequency === 0) return [...lines, "not rotated"].join("<br>");
    lines.push(`inv_freq ${short(frequency)} rad per position`, `one turn in ${short(wavelength(frequency))} positions`);
    lines.push(`${short((length * frequency) / (2 * Math.PI))} turns in ${number.format(length)} tokens`);
    lines.push(`divided by ${short(rope.unscaled[pair] / frequency)}`);
    return lines.join("<br>");
  });
}

function blend(rope) {
  if (!rope.blend) return {};
  const [low, high] = rope.blend;
  return {
    shapes: [{ type: "rect", yref: "paper", x0: low, x1: high, y0: 0, y1: 1, fillcolor: ZONE, opacity: 0.5, line: { width: 0 }, layer: "below" }],
    annotations: [{ x: (low + high) / 2, y: 1, yref: "paper", yanchor: "top", showarrow: false, text: "blend zone", font: { size: 11 } }],
  };
}

function lineTrace(name, y, more = {}) {
  return { name, y, type: "scatter", mode: "lines+markers", line: { color: INK, width: 1.5 }, marker: { size: Math.min(5, 320 / y.length) }, ...more };
}

// The curve of a rope over its pairs; with several position axes (M-RoPE) each pair has the sign of its own.
const AXES = [["circle", INK], ["square", MARK], ["diamond", SPATIAL], ["cross", QUIET]];

function pairTraces(rope, table, length, value) {
  const y = table.inv_freq.map(value), more = { text: hoverText(rope, table, length), hoverinfo: "text" };
  if (!rope.axes) return [lineTrace(rope.rope_type, y, more)];
  const found = [...new Set(rope.axes)].sort((a, b) => a - b);
  const marks = found.map((axis) => lineTrace(`axis ${axis}`, y.map((one, pair) => (rope.axes[pair] === axis ? one : null)), {
    mode: "markers", hoverinfo: "skip", marker: { size: 6, symbol: AXES[axis % AXES.length][0], color: AXES[axis % AXES.length][1] },
  }));
  return [lineTrace(rope.rope_type, y, { ...more, mode: "lines" }), ...marks];
}

function greyTrace(y) {
  return { name: "unscaled", y, type: "scatter", mode: "lines", line: { color: QUIET, width: 4 }, hoverinfo: "skip" };
}

function levels(rope, length) {
  const marks = Object.entries(rope.contexts).map(([name, value], index) => [name, value, index ? "dash" : "dot", INK]);
  marks.push(["sequence", length, "solid", MARK]);
  return {
    shapes: marks.map(([, value, dash, color]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, y0: value, y1: value, line: { dash, color, width: 1.2 } })),
    annotations: marks.map(([name, value, , color], index) => ({
      xref: "paper", x: index % 2 ? 0.45 : 0.01, xanchor: "left", y: Math.log10(value), yanchor: "bottom", showarrow: false,
      text: `${name} ${number.format(value)}`, font: { size: 11, color }, bgcolor: PAPER, borderpad: 0,
    })),
  };
}

const PAIR = "rotated pair i";

// What each chart draws of a rope at a length: traces and layout.
const CHARTS = {
  frequencies: (rope, table, length) => [
    [greyTrace(rope.unscaled.map(positive)), ...pairTraces(rope, table, length, positive)],
    layout("Inverse frequencies", axis(PAIR), logAxis("inv_freq [radians per position]", logRange(rope, positive)), { ...blend(rope) }),
  ],
  wavelengths: (rope, table, length) => [
    [greyTrace(rope.unscaled.map(wavelength)), ...pairTraces(rope, table, length, wavelength)],
    layout("Wavelengths against context", axis(PAIR), logAxis("positions per turn, 2π / inv_freq", logRange(rope, wavelength, Object.values(rope.contexts))), { ...levels(rope, length) }),
  ],
  divisors: (rope, table, length) => [
    [greyTrace(rope.unscaled.map(() => 1)), lineTrace(rope.rope_type, table.inv_freq.map((frequency, pair) => (frequency > 0 ? rope.unscaled[pair] / frequency : null)), { text: hoverText(rope, table, length), hoverinfo: "text" })],
    layout("What the scaling divides by", axis(PAIR), axis("unscaled / scaled inv_freq", { range: [0, 1.05 * largestDivisor(rope)] }), { ...blend(rope) }),
  ],
  attention: (rope, table, length) => [
    [
      lineTrace("attention factor", rope.lengths.map((at) => tableAt(rope, at).attention_factor), { x: rope.lengths, mode: "lines", line: { color: INK, width: 1.5, shape: "hv" } }),
      lineTrace("this length", [table.attention_factor], { x: [length], mode: "markers", marker: { size: 11, color: MARK } }),
    ],
    layout("Attention factor", lengthAxis(rope), axis("factor on cos and sin", { rangemode: "tozero" })),
  ],
};

function summary(rope, table, length) {
  const turning = table.inv_freq.filter((frequency) => frequency > 0 && wavelength(frequency) <= length).length;
  const axes = rope.axes ? [...new Set(rope.axes)].sort((a, b) => a - b).map((axis) => `${rope.axes.filter((one) => one === axis).length} on axis ${axis}`) : [];
  const shared = axes.length ? ` Pairs by position axis: ${axes.join(", ")}.` : "";
  return `At ${number.format(length)} tokens ${turning} of ${table.inv_freq.length} pairs complete a turn; the attention factor is ${short(table.attention_factor)}.${shared}`;
}

function numbersTable(rope, table) {
  const shown = element("table", "");
  const head = shown.createTHead().insertRow();
  for (const title of ["pair", "channels", ...(rope.axes ? ["axis"] : []), "inv_freq", "positions per turn", "divided by"]) head.append(element("th", title, { scope: "col" }));
  const body = shown.createTBody();
  table.inv_freq.forEach((frequency, pair) => {
    const cells = [pair, rope.channels[pair].join(", "), ...(rope.axes ? [rope.axes[pair]] : []), frequency, frequency > 0 ? short(wavelength(frequency)) : "does not rotate", frequency > 0 ? short(rope.unscaled[pair] / frequency) : ""];
    const row = body.insertRow();
    for (const cell of cells) row.append(element("td", String(cell)));
  });
  return shown;
}

function ropeSection(rope, index) {
  const section = element("section", "", { "aria-labelledby": `rope-${index}` });
  section.append(element("h2", rope.key, { id: `rope-${index}` }), element("p", rope.words, { class: "words" }));
  section.append(element("p", "", { class: "summary", id: `summary-${index}`, "aria-live": "polite" }));
  const grid = element("div", "", { class: "grid" });
  for (const name of Object.keys(CHARTS)) grid.append(element("div", "", { class: "chart", id: `${name}-${index}` }));
  const details = element("details", "");
  details.append(element("summary", "All numbers at this length"), element("div", "", { class: "numbers", id: `numbers-${index}` }));
  section.append(grid, details);
  return section;
}

function drawRope(rope, index, length) {
  const table = tableAt(rope, length);
  document.getElementById(`summary-${index}`).textContent = summary(rope, table, length);
  document.getElementById(`numbers-${index}`).replaceChildren(numbersTable(rope, table));
  return Object.entries(CHARTS).map(([name, chart]) => {
    const [traces, around] = chart(rope, table, length);
    around.uirevision = "kept"; // a zoom survives the slider
    if (rope.axes && narrow.matches) { // a legend of several lines stands between title and chart
      around.margin.t = 110;
      Object.assign(around.title, { y: 1, yref: "container", yanchor: "top", pad: { t: 10 } });
    }
    return Plotly.react(`${name}-${index}`, traces, around, CONFIG);
  });
}

// The same as a heat map, for a phone: what stands in a row of it, one below the other.
function stacked(columns, rows, texts) {
  return rows.map((row, index) => {
    const block = element("div", "", { class: "block" });
    block.append(element("h3", row));
    const list = element("dl", "");
    columns.forEach((column, at) => texts[index][at] && list.append(element("dt", column), element("dd", texts[index][at])));
    block.append(list);
    return block;
  });
}

function heatmap(id, columns, rows, values, texts, colours) {
  document.getElementById(`${id}-stacked`).append(...stacked(columns, rows, texts));
  const height = 110 + 30 * rows.length;
  document.getElementById(id).style.setProperty("--columns", columns.length);
  const cells = { type: "heatmap", x: columns, y: rows, z: values, text: texts, texttemplate: "%{text}", hovertemplate: "%{y}<br>%{x}<br>%{text}<extra></extra>", xgap: 2, ygap: 2, ...colours };
  const around = layout("", axis("", { type: "category", side: "top", showgrid: false, tickangle: 0, automargin: true }), axis("", { type: "category", autorange: "reversed", showgrid: false, automargin: true }), { height, margin: { l: 20, r: 20, t: 40, b: 10 } });
  return Plotly.newPlot(id, [cells], around, { ...CONFIG, displayModeBar: false });
}

function drawParity(found) {
  document.getElementById("parity-section").hidden = false;
  const words = [`${found.backends.join("; ")}. Verdict: ${found.verdict}.`, ...found.absent];
  document.getElementById("parity-words").textContent = words.join(" ");
  const value = (cell) => (cell ? (cell.agrees ? Math.min(cell.share, 1) : 2) : null);
  const text = (cell) => (cell ? (cell.agrees ? "" : "✗ ") + cell.text : "");
  const colours = { zmin: 0, zmax: 2, showscale: false, colorscale: [[0, RIGHT], [0.5, ROUNDING], [0.5001, WRONG], [1, WRONG]] };
  return heatmap("parity", found.columns, found.rows, found.cells.map((row) => row.map(value)), found.cells.map((row) => row.map(text)), colours);
}

function drawAudit(found) {
  document.getElementById("audit-section").hidden = false;
  const list = document.getElementById("audit-words");
  for (const verdict of found.verdicts) {
    const line = element("li", ` ${verdict.words}`);
    line.prepend(element("strong", `${verdict.label}:`, { class: verdict.status }));
    list.append(line);
  }
  if (found.remark) list.append(element("li", found.remark));
  if (!found.rows.length) return null;
  const columns = found.positions.map((position) => `at ${number.format(position)}`);
  const logs = found.errors.map((row) => row.map((error) => (error === null ? 1 : Math.log10(Math.max(error, 1e-9)))));
  const texts = found.errors.map((row) => row.map((error) => (error === null ? "no result" : error.toExponential(1))));
  const colours = { zmin: -8, zmax: 1, showscale: false, colorscale: [[0, RIGHT], [0.55, ROUNDING], [0.8, DOUBT], [1, WRONG]] };
  return heatmap("audit", columns, found.rows, logs, texts, colours);
}

async function loadPlotly() {
  const packed = Uint8Array.from(atob(document.getElementById("plotly").textContent), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  document.head.append(element("script", await new Response(unpacked).text()));
}

function words() {
  document.getElementById("title").textContent = data.title;
  const kind = data.model_type ? `model_type ${data.model_type}. ` : "";
  document.getElementById("made").textContent = `${kind}${data.layers ? `Layers: ${data.layers}. ` : ""}Made ${data.made}.`;
  const notes = data.notes.length ? data.notes : ["Nothing to check: the configuration says everything itself."];
  document.getElementById("notes").append(...notes.map((note) => element("li", note)));
}

async function draw() {
  words();
  document.getElementById("ropes").append(...data.ropes.map(ropeSection));
  await loadPlotly();
  const slider = document.getElementById("length");
  const contexts = data.ropes.flatMap((rope) => Object.values(rope.contexts));
  slider.max = String(Math.max(0, lengths.length - 1));
  slider.value = String(Math.max(0, lengths.indexOf(contexts.length ? Math.max(...contexts) : lengths.at(-1))));
  const update = () => {
    const length = lengths[Number(slider.value)];
    const value = `${number.format(length)} tokens`;
    document.getElementById("length-value").textContent = value;
    slider.setAttribute("aria-valuetext", value);
    return Promise.all(data.ropes.flatMap((rope, index) => drawRope(rope, index, length)));
  };
  slider.addEventListener("input", update);
  if (lengths.length) await update();
  else document.getElementById("length-control").hidden = true;
  if (data.parity) await drawParity(data.parity);
  if (data.audit) await drawAudit(data.audit);
  document.body.dataset.ready = "true";
}

draw();
