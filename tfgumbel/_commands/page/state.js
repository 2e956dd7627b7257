/* The settings, and what is computed from them. */

const COUNT = 1000; // samples of the histogram
const [COLDEST, HOTTEST] = [0.1, 5];
const POSITIONS = 200; // of the temperature's slider
/* Of the curves; at 1 some biases vanish. */
const TEMPERATURES = [
  ...Array.from({ length: 21 }, (_, i) => temperatureAt(i / 20)),
  1,
].sort((a, b) => a - b);
const FIRST = [0.5, 0.3, 0.2, 0.15, 0.1, 0.05];
const ESTIMATORS = {
  gumbel_softmax: [
    "J(y) f′(y) / τ",
    "Jang, Gu, Poole 2017; Maddison, Mnih, Teh 2017",
  ],
  st_gumbel: ["J(y) f′(d) / τ, where d = argmax y", "Jang, Gu, Poole 2017"],
  gumbel_rao: [
    `the mean of st_gumbel over ${NOISE_SAMPLES} y given d`,
    "Paulus, Maddison, Krause 2021",
  ],
  gapped: [
    "J(y) f′(d) / τ, with y = softmax of log π / τ moved until d leads by 1",
    "Fan, Chi, Rudnicky, Ramadge 2022",
  ],
  st: ["J(softmax(log π / τ)) f′(d) / τ", "Bengio, Léonard, Courville 2013"],
  reinmax: [
    "2 J(½ softmax(log π / τ) + ½ d) f′(d) − ½ J(π) f′(d)",
    "Liu, Dong, Liu, Yu, Gao 2023",
  ],
  zgr: ["½ [J(π) f′(d) + f′(d)ᵀ(d − π) (d − π)]", "Shekhovtsov 2023"],
  mve: [
    "S(d)ᵀ f′(d), of least variance among all that are exact for " +
      "quadratic f; here τ = 10⁶, its own",
    "Hooper, Shekhovtsov 2026",
  ],
  muprop: [
    "[f(d) − f(π) − f′(π)ᵀ(d − π)] (d − π) + J(π) f′(π)",
    "Gu, Levine, Sutskever, Mnih 2016",
  ],
  rebar: [
    "[f(d) − f(ỹ)] (d − π) + ∇f(y) − ∇f(ỹ), ỹ drawn anew given d, as with " +
      `tied=False; here τ = ${REBAR_TEMPERATURE} and η = 1, from which it learns both`,
    "Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein 2017",
  ],
  rloo: [
    "½ [f(d₁) − f(d₂)] (d₁ − d₂), two samples",
    "Kool, van Hoof, Welling 2019",
  ],
  vimco: [
    "[c − f(d₂)] (d₁ − π) + [c − f(d₁)] (d₂ − π), two samples, with " +
      "c = −log ½ [exp(−f(d₁)) + exp(−f(d₂))], whose mean it minimises",
    "Mnih, Rezende 2016",
  ],
  nvil: [
    "[f(d) − b] (d − π), b = Σ π(d) f(d): its baseline once it has learned",
    "Mnih, Gregor 2014",
  ],
  reinforce: ["f(d) (d − π)", "Williams 1992"],
};

function defaults() {
  return {
    temperature: 0.5,
    probabilities: normalized(FIRST.slice(0, 3)),
    seed: 1,
    cost: "quadratic",
    shown: new Set([
      "gumbel_softmax",
      "st_gumbel",
      "gumbel_rao",
      "st",
      "reinmax",
      "reinforce",
    ]),
  };
}

function normalized(weights) {
  return scaled(weights, 1 / sum(weights));
}

let state = defaults();
const element = (id) => document.getElementById(id);

/* What is computed once and kept until its inputs change. */

const kept = {};

function keep(name, inputs, compute) {
  const key = JSON.stringify(inputs);
  if (kept[name]?.key !== key) kept[name] = { key, value: compute() };
  return kept[name].value;
}

function currentSamples() {
  const { seed, probabilities, temperature } = state;
  const classes = probabilities.length;
  const noise = keep("noise", [seed, classes], () =>
    gumbelNoise(seed, COUNT, classes),
  );
  const logits = probabilities.map(Math.log);
  return noise.map((vector) => gumbelSoftmax(logits, vector, temperature));
}

/** The problem, its perturbed logits, and what no temperature changes. */
function currentProblem() {
  const { cost, probabilities } = state;
  const classes = probabilities.length;
  return keep("problem", [cost, probabilities], () => {
    const problem = makeProblem(cost, probabilities);
    const noises = keep("even", classes, () =>
      evenGumbelNoise(1, vectorsFor(classes), classes),
    );
    const perturbed = perturb(problem, noises);
    const fixed = fixedMoments(problem, perturbed);
    return { problem, perturbed, fixed, exact: exactGradient(problem) };
  });
}

function vectorsFor(classes) {
  return Math.max(512, Math.round(2048 / classes));
}

/** Bias, variance and error of every estimator at one temperature. */
function qualities(temperature) {
  const { problem, perturbed, fixed, exact } = currentProblem();
  const all = allMoments(problem, perturbed, temperature, fixed);
  return Object.fromEntries(
    Object.keys(ESTIMATORS).map((name) => [name, quality(all[name], exact)]),
  );
}

function currentCurves() {
  const { cost, probabilities } = state;
  return keep("curves", [cost, probabilities], () =>
    TEMPERATURES.map(qualities),
  );
}
