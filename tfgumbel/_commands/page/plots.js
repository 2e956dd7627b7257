/* Pictures, as SVG text; sizes are pixels. */

const MARGIN = { left: 40, right: 10, top: 8, bottom: 30 };

function svg(width, height, label, body) {
  return (
    `<svg width="${width}" height="${height}" role="img" ` +
    `aria-label="${label}">${body}</svg>`
  );
}

function line(x1, y1, x2, y2, kind) {
  const ends = `x1="${round(x1)}" y1="${round(y1)}" x2="${round(x2)}"`;
  return `<line ${ends} y2="${round(y2)}" class="${kind}"/>`;
}

function text(x, y, content, anchor = "middle") {
  const place = `x="${round(x)}" y="${round(y)}" text-anchor="${anchor}"`;
  return `<text ${place}>${content}</text>`;
}

function rect(x, y, width, height, fill, more = "", inside = "") {
  const size = `width="${round(width)}" height="${round(Math.max(0, height))}"`;
  const place = `x="${round(x)}" y="${round(y)}"`;
  return `<rect ${place} ${size} fill="${fill}" ${more}>${inside}</rect>`;
}

function round(x) {
  return Math.round(x * 10) / 10;
}

/** Three significant digits. */
function digits(x) {
  if (x === 0 || Math.abs(x) < 1e-9) return "0";
  if (Math.abs(x) >= 1e4 || Math.abs(x) < 1e-3) return x.toExponential(1);
  return String(Number(x.toPrecision(3)));
}

/** The inner box of a picture, with a horizontal line for each tick. */
function frame(width, height) {
  return {
    left: MARGIN.left,
    right: width - MARGIN.right,
    top: MARGIN.top,
    bottom: height - MARGIN.bottom,
  };
}

function horizontals(box, ticks, position, format = digits) {
  return ticks
    .map((tick) => {
      const y = position(tick);
      return (
        line(box.left, y, box.right, y, tick === 0 ? "axis" : "grid") +
        text(box.left - 6, y + 4, format(tick), "end")
      );
    })
    .join("");
}

/** The first samples as stacked columns. */
function samplesPlot(samples, width, height) {
  const box = frame(width, height);
  const step = (box.right - box.left) / samples.length;
  const y = (value) => box.bottom - value * (box.bottom - box.top);
  const columns = samples.map((sample, n) =>
    sampleColumn(sample, box.left + n * step, step, y),
  );
  const label = `${samples.length} samples as stacked columns`;
  const axis =
    horizontals(box, [0, 0.5, 1], y) +
    text((box.left + box.right) / 2, height - 10, "sample");
  return svg(width, height, label, axis + columns.join(""));
}

function sampleColumn(sample, x, width, y) {
  const winner = argmax(sample);
  let below = 0;
  const parts = sample.map((weight, k) => {
    const [bottom, top] = [y(below), y(below + weight)];
    below += weight;
    const colour = `var(--class-${k})`;
    const bar = rect(x + 0.5, top, width - 1, bottom - top, colour);
    if (k !== winner) return bar;
    const middle = [x + width / 2, (top + bottom) / 2].map(round);
    const place = `cx="${middle[0]}" cy="${middle[1]}"`;
    return `${bar}<circle ${place} r="2.6" class="dot"/>`;
  });
  return parts.join("");
}

/** Frequency of the argmax, mean weight and probability of each class. */
function histogramPlot(frequencies, means, probabilities, width, height) {
  const box = frame(width, height);
  const largest = Math.max(...frequencies, ...means, ...probabilities);
  const step = largest > 0.5 ? 0.2 : 0.1;
  const count = Math.ceil(largest / step - 1e-9);
  const ticks = Array.from({ length: count + 1 }, (_, i) => round(i * step));
  const y = (value) =>
    box.bottom - (value / (count * step)) * (box.bottom - box.top);
  const slot = (box.right - box.left) / probabilities.length;
  const bar = Math.min(30, slot * 0.36);
  const groups = probabilities.map((p, k) => {
    const middle = box.left + (k + 0.5) * slot;
    const column = (x, value, what, more) =>
      rect(
        x,
        y(value),
        bar,
        box.bottom - y(value),
        `var(--class-${k})`,
        `data-class="${k}" data-what="${what}" data-value="${value}" ${more}`,
        `<title>class ${k + 1}, ${what}: ${value.toFixed(3)}</title>`,
      );
    return (
      column(middle - bar, frequencies[k], "argmax", "") +
      column(middle, means[k], "mean", 'fill-opacity="0.4"') +
      line(middle - bar - 4, y(p), middle + bar + 4, y(p), "truth") +
      text(middle, height - 12, `${k + 1}`)
    );
  });
  const list = (values) => values.map((v) => v.toFixed(2)).join(", ");
  const label =
    `Frequencies of the argmax: ${list(frequencies)}. ` +
    `Mean weights: ${list(means)}. Probabilities: ${list(probabilities)}.`;
  return svg(
    width,
    height,
    label,
    horizontals(box, ticks, y) + groups.join(""),
  );
}

/* Positions on an axis. */

function linearScale(low, high, from, to) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

function logScale(low, high, from, to) {
  const place = linearScale(Math.log(low), Math.log(high), from, to);
  return (value) => place(Math.log(Math.max(value, low)));
}

/** About four round numbers from 0 up to `high` or just above. */
function roundTicks(high) {
  const rough = high / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((s) => s * power >= rough) * power;
  const count = Math.ceil(high / step - 1e-9);
  return Array.from({ length: count + 1 }, (_, i) =>
    Number((i * step).toPrecision(6)),
  );
}

function powersOfTen(low, high) {
  const first = Math.round(Math.log10(low));
  const last = Math.round(Math.log10(high));
  const step = Math.ceil((last - first) / 5);
  const ticks = [];
  for (let i = last; i >= first; i -= step) ticks.push(Number(`1e${i}`));
  return ticks;
}

/**
 * Curves of a quantity against τ, each {name, dash, values, now}, clipped to
 * the box; `axis` gives {label, ticks, scale, format, reference}.
 */
function curvesPlot(curves, axis, { width, height }) {
  const box = frame(width, height);
  const ends = [TEMPERATURES[0], TEMPERATURES[TEMPERATURES.length - 1]];
  const x = logScale(...ends, box.left, box.right);
  const y = axis.scale(box.bottom, box.top);
  const now = x(state.temperature);
  const marks = [0.1, 0.2, 0.5, 1, 2, 5].map((tick) =>
    text(x(tick), box.bottom + 16, tick),
  );
  const clip = `clip-${axis.label.split(" ")[0]}`;
  const body = [
    clipPath(clip, box),
    horizontals(box, axis.ticks, y, axis.format),
    ...marks,
    text(box.right, box.bottom + 28, "τ", "end"),
    line(now, box.top, now, box.bottom, "now"),
    `<g clip-path="url(#${clip})">`,
    referenceLine(box, y, axis.reference),
    ...curves.map((curve) => curvePath(curve, x, y)),
    ...curves.map((curve) => curveMarker(curve, now, y)),
    "</g>",
  ];
  return svg(width, height, axis.label, body.join(""));
}

/** The box and a little more, which markers on its edge need. */
function clipPath(id, { left, right, top, bottom }) {
  const place = `x="${left - 6}" y="${top - 6}"`;
  const extent = `width="${right - left + 12}" height="${bottom - top + 12}"`;
  return `<clipPath id="${id}"><rect ${place} ${extent}/></clipPath>`;
}

function referenceLine(box, y, value) {
  if (!value) return "";
  const height = y(value);
  return (
    line(box.left, height, box.right, height, "reference") +
    text(box.right, height - 5, "‖∇‖", "end")
  );
}

function curvePath({ name, dash, values }, x, y) {
  const points = values.map(
    (value, i) => `${round(x(TEMPERATURES[i]))},${round(y(value))}`,
  );
  return (
    `<polyline points="${points.join(" ")}" class="curve" data-name="${name}" ` +
    `stroke="var(--${name})" stroke-dasharray="${dash}"/>`
  );
}

function curveMarker({ name, now }, x, y) {
  const title = `<title>${name}: ${digits(now)}</title>`;
  return (
    `<circle cx="${round(x)}" cy="${round(y(now))}" r="4.5" class="marker" ` +
    `fill="var(--${name})">${title}</circle>`
  );
}
