/* The controls. */

/** From the coldest, at 0, to the hottest, at 1, by equal factors. */
function temperatureAt(fraction) {
  return COLDEST * (HOTTEST / COLDEST) ** fraction;
}

function fractionOf(temperature) {
  return Math.log(temperature / COLDEST) / Math.log(HOTTEST / COLDEST);
}

function showSettings() {
  const { temperature, probabilities, seed, cost, shown } = state;
  const slider = element("temperature");
  slider.value = Math.round(POSITIONS * fractionOf(temperature));
  slider.setAttribute("aria-valuetext", temperature.toFixed(2));
  element("temperature-value").textContent = temperature.toFixed(2);
  element("classes").value = probabilities.length;
  element("cost").value = cost;
  const field = element("seed");
  if (document.activeElement !== field) field.value = seed;
  probabilities.forEach((p, k) => {
    element(`p${k}`).value = p;
    element(`p${k}`).setAttribute(
      "aria-valuetext",
      `${(100 * p).toFixed(1)} %`,
    );
    element(`p${k}-value`).textContent = `${(100 * p).toFixed(1)} %`;
  });
  element("formula").textContent = COSTS[cost].formula;
  const w = WEIGHTS.slice(0, probabilities.length);
  const values = w.map((u) => digits(COSTS[cost].value(u)).replace("-", "−"));
  element("corners").textContent =
    `with w = (${w.join(", ")})`.replaceAll("-", "−") +
    `; at the one-hot vectors ${values.join(", ")}`;
  element("vectors").textContent = vectorsFor(probabilities.length);
  for (const row of element("estimators").rows) {
    row.querySelector("input").checked = shown.has(row.dataset.name);
  }
}

function makeProbabilitySliders() {
  const classes = state.probabilities.length;
  element("probabilities").innerHTML = Array.from(
    { length: classes },
    (_, k) => {
      const swatch = `<span class="swatch" style="background: var(--class-${k})"></span>`;
      return (
        `<label for="p${k}">${swatch}${k + 1}</label>` +
        `<input id="p${k}" type="range" min="0.01" max="0.95" step="0.01" ` +
        `aria-label="Probability of class ${k + 1}">` +
        `<output id="p${k}-value" for="p${k}"></output>`
      );
    },
  ).join("");
  for (let k = 0; k < classes; k++) {
    element(`p${k}`).addEventListener("input", (event) => {
      const value = Number(event.target.value);
      state.probabilities = withProbability(state.probabilities, k, value);
      redraw();
    });
  }
}

function makeTable() {
  element("formulas").innerHTML = Object.entries(ESTIMATORS)
    .map(
      ([name, [formula, paper]]) =>
        `<dt>${name}</dt><dd>${formula}</dd><dd>${paper}</dd>`,
    )
    .join("");
  element("estimators").innerHTML = Object.keys(ESTIMATORS)
    .map((name) => {
      const dash = DASHES[name] ?? "none";
      const sample =
        '<svg width="26" height="8" aria-hidden="true"><line x1="0" y1="4" ' +
        `x2="26" y2="4" stroke="var(--${name})" stroke-width="2.5" ` +
        `stroke-dasharray="${dash}"/></svg>`;
      return (
        `<tr data-name="${name}"><th scope="row"><label>` +
        `<input type="checkbox">${sample}${name}</label></th>` +
        "<td></td><td></td><td></td></tr>"
      );
    })
    .join("");
  element("estimators").addEventListener("change", (event) => {
    const { name } = event.target.closest("tr").dataset;
    if (!state.shown.delete(name)) state.shown.add(name);
    redraw();
  });
}

function makeMenus() {
  const option = (value, label) => `<option value="${value}">${label}</option>`;
  element("classes").innerHTML = [2, 3, 4, 5, 6]
    .map((k) => option(k, k))
    .join("");
  element("cost").innerHTML = Object.keys(COSTS)
    .map((name) => option(name, name))
    .join("");
}

function setProbabilities(probabilities) {
  const same = probabilities.length === state.probabilities.length;
  state.probabilities = probabilities;
  if (!same) makeProbabilitySliders();
  redraw();
}

function listen() {
  const on = (id, kind, action) => {
    element(id).addEventListener(kind, (event) => action(event.target.value));
  };
  element("controls").addEventListener("submit", (event) =>
    event.preventDefault(),
  );
  on("temperature", "input", (value) => {
    state.temperature = temperatureAt(Number(value) / POSITIONS);
    redraw();
  });
  on("classes", "change", (value) =>
    setProbabilities(normalized(FIRST.slice(0, Number(value)))),
  );
  on("even", "click", () => {
    const classes = state.probabilities.length;
    setProbabilities(new Array(classes).fill(1 / classes));
  });
  on("seed", "input", (value) => {
    const seed = Number(value);
    if (value === "" || !Number.isInteger(seed) || seed < 0) return;
    state.seed = seed >>> 0;
    redraw();
  });
  on("resample", "click", () => {
    state.seed = (state.seed + 1) >>> 0;
    redraw();
  });
  on("reset", "click", () => {
    state = defaults();
    makeProbabilitySliders();
    redraw();
  });
  on("cost", "change", (value) => {
    state.cost = value;
    redraw();
  });
  new ResizeObserver(redraw).observe(element("pictures"));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

element("count").textContent = COUNT;
makeMenus();
makeTable();
makeProbabilitySliders();
listen();
redraw();
