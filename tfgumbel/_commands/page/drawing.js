/* What is drawn, and when. */

const POINTS = 600; // samples on the simplex
const COLUMNS = 32; // samples as columns
const DASHES = {
  gumbel_rao: "7 3",
  gapped: "2 3",
  zgr: "7 3",
  mve: "9 3 2 3",
  muprop: "2 3",
  rebar: "9 3 2 3",
  rloo: "7 3",
  vimco: "2 3",
  nvil: "9 3 2 3",
};

function drawSamples() {
  const samples = currentSamples();
  const columns = element("samples");
  columns.innerHTML = samplesPlot(samples.slice(0, COLUMNS), ...size(columns));
  drawHistogram(samples);
  drawPoints(samples.slice(0, POINTS));
}

function size({ clientWidth, clientHeight }) {
  return [clientWidth, clientHeight];
}

function drawHistogram(samples) {
  const { probabilities } = state;
  const means = probabilities.map(() => 0);
  const frequencies = probabilities.map(() => 0);
  for (const sample of samples) {
    frequencies[argmax(sample)] += 1 / samples.length;
    sample.forEach((weight, k) => (means[k] += weight / samples.length));
  }
  const box = element("histogram");
  const bars = [frequencies, means, probabilities];
  box.innerHTML = histogramPlot(...bars, ...size(box));
}

function drawPoints(samples) {
  const { probabilities, temperature } = state;
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`);
  const colours = {
    classes: probabilities.map((_, k) => colour(`class-${k}`)),
    quiet: colour("quiet"),
    rule: colour("rule"),
  };
  const canvas = element("simplex");
  const logits = probabilities.map(Math.log);
  drawSimplex(canvas, samples, logits, temperature, colours);
  const note = simplexNote(probabilities.length, temperature);
  canvas.setAttribute("aria-label", `${samples.length} samples. ${note}`);
  element("simplex-note").textContent = note;
}

function simplexNote(classes, temperature) {
  if (classes > 3) {
    return `Each point is a sample y, at Σ yₖ · cornerₖ: a shadow of the simplex.`;
  }
  const bound = 1 / (classes - 1);
  const shape =
    temperature <= bound
      ? `As τ ≤ 1/(K − 1) = ${bound}, it has no mode inside.`
      : `A mode inside needs τ > 1/(K − 1) = ${bound}.`;
  return `Each point is a sample; the shade is their density. ${shape}`;
}

function drawCurves() {
  const now = qualities(state.temperature);
  const { exact } = currentProblem();
  const length = Math.sqrt(dot(exact, exact));
  drawPlot("bias", now, (curves) => biasAxis(curves, length));
  drawPlot("variance", now, varianceAxis);
  fillTable(now, length);
}

/** One quantity against τ, for the estimators that are shown. */
function drawPlot(what, now, makeAxis) {
  const points = currentCurves();
  const curves = Object.keys(ESTIMATORS)
    .filter((name) => state.shown.has(name))
    .map((name) => ({
      name,
      dash: DASHES[name] ?? "none",
      values: points.map((point) => point[name][what]),
      now: now[name][what],
    }));
  const box = element(what);
  const [width, height] = size(box);
  const axis = { ...makeAxis(curves), label: `${what} against temperature` };
  box.innerHTML = curvesPlot(curves, axis, { width, height });
}

/** From 0, linear; the dashed line is the length of the exact gradient. */
function biasAxis(curves, length) {
  const largest = Math.max(...curves.flatMap(({ values }) => values), 1e-6);
  const high = Math.max(Math.min(largest, 3 * length), 1.05 * length, 1e-6);
  const ticks = roundTicks(high);
  const top = ticks[ticks.length - 1];
  return {
    ticks,
    reference: length,
    scale: (bottom, upper) => linearScale(0, top, bottom, upper),
  };
}

/** Logarithmic; what is less than 10⁻⁶ of the largest lies on the floor. */
function varianceAxis(curves) {
  const values = curves.flatMap((curve) => curve.values);
  const largest = Math.max(...values, 1e-6);
  const least = Math.min(...values.filter((v) => v > 1e-6 * largest), largest);
  const high = 10 ** Math.ceil(Math.log10(largest));
  let low = 10 ** Math.floor(Math.log10(least));
  if (low === high || values.some((v) => v <= 1e-6 * largest)) low /= 10;
  return {
    ticks: powersOfTen(low, high),
    format: (tick) => `10${superscript(Math.round(Math.log10(tick)))}`,
    scale: (bottom, upper) => logScale(low, high, bottom, upper),
  };
}

function superscript(power) {
  const signs = "⁰¹²³⁴⁵⁶⁷⁸⁹";
  const figures = [...String(Math.abs(power))].map((figure) => signs[figure]);
  return (power < 0 ? "⁻" : "") + figures.join("");
}

function fillTable(now, length) {
  element("exact").textContent = digits(length);
  element("table-temperature").textContent = state.temperature.toFixed(2);
  for (const row of element("estimators").rows) {
    const { bias, variance, error } = now[row.dataset.name];
    [bias, variance, error].forEach((value, i) => {
      row.cells[i + 1].textContent = digits(value);
    });
  }
}

/** Samples are redrawn with the next frame, curves right after it. */
const due = { frame: 0, curves: 0 };

function redraw() {
  showSettings();
  cancelAnimationFrame(due.frame);
  due.frame = requestAnimationFrame(() => {
    drawSamples();
    clearTimeout(due.curves);
    due.curves = setTimeout(drawCurves);
  });
}
