/* Costs f, and estimators of the gradient of E f(z) in the logits. */

const WEIGHTS = [1, -0.4, 0.3, -0.8, 0.6, 0.1];

/** f and its derivative, as functions of u = wᵀz. */
const COSTS = {
  linear: {
    formula: "f(z) = wᵀz",
    value: (u) => u,
    slope: () => 1,
  },
  quadratic: {
    formula: "f(z) = (wᵀz − ½)²",
    value: (u) => (u - 0.5) ** 2,
    slope: (u) => 2 * (u - 0.5),
  },
  wave: {
    formula: "f(z) = sin(4 wᵀz)",
    value: (u) => Math.sin(4 * u),
    slope: (u) => 4 * Math.cos(4 * u),
  },
  step: {
    formula: "f(z) = 1 if wᵀz > 0.2, else 0; its derivative is 0",
    value: (u) => (u > 0.2 ? 1 : 0),
    slope: () => 0,
  },
};

/** A cost of one variable with these probabilities. */
function makeProblem(cost, probabilities) {
  const w = WEIGHTS.slice(0, probabilities.length);
  const { value, slope } = COSTS[cost];
  return {
    logits: probabilities.map(Math.log),
    probabilities,
    w,
    value: (z) => value(dot(w, z)),
    slope: (z) => scaled(w, slope(dot(w, z))),
    valueAt: value, // of u = wᵀz
    slopeAt: slope,
  };
}

function scaled(x, factor) {
  return x.map((value) => value * factor);
}

function plus(x, y) {
  return x.map((value, k) => value + y[k]);
}

function minus(x, y) {
  return x.map((value, k) => value - y[k]);
}

/** J(p) g = p (g - pᵀg), with J(p) = diag(p) - p pᵀ. */
function jacobian(p, g) {
  const mean = dot(p, g);
  return p.map((value, k) => value * (g[k] - mean));
}

/** The gradient itself, by enumeration: Σ_d π_d f(d) (d - π). */
function exactGradient(problem) {
  const p = problem.probabilities;
  const costs = p.map((_, k) => problem.value(oneHot(k, p.length)));
  return jacobian(p, costs);
}

const MVE_TAU = 1e6; // where its authors' schedule ends

/* Estimates at a sample d that is drawn exactly. */
const AT_SAMPLE = {
  st({ logits, slope }, d, temperature) {
    const p = softmax(logits, temperature);
    return scaled(jacobian(p, slope(d)), 1 / temperature);
  },
  gapped({ logits, slope }, d, temperature, gap = 1) {
    const top = Math.max(...logits);
    const moved = logits.map((logit, k) =>
      d[k] ? top : Math.min(logit, top - gap),
    );
    const y = softmax(moved, temperature);
    return scaled(jacobian(y, slope(d)), 1 / temperature);
  },
  reinmax({ logits, probabilities, slope }, d, temperature) {
    const middle = scaled(plus(softmax(logits, temperature), d), 0.5);
    const second = scaled(jacobian(middle, slope(d)), 2);
    return minus(second, scaled(jacobian(probabilities, slope(d)), 0.5));
  },
  zgr({ probabilities, slope }, d) {
    const score = minus(d, probabilities);
    const linear = scaled(score, dot(slope(d), score));
    return scaled(plus(jacobian(probabilities, slope(d)), linear), 0.5);
  },
  mve({ probabilities: p, slope }, d, _, tau = MVE_TAU) {
    const chosen = dot(p, d);
    const g = slope(d).map((value, k) => value / (1 + tau * (p[k] + chosen)));
    const own = tau * dot(p, g);
    const weight = g.map((value, k) => (1 + tau * p[k]) * value - own * d[k]);
    const solved = solve(mveMatrix(p, tau), weight);
    const vector = solved.map(
      (value, k) =>
        ((1 + tau * p[k]) / (1 + 2 * tau * p[k])) * value + tau * d[k] * g[k],
    );
    return jacobian(p, vector);
  },
  muprop({ probabilities, value, slope }, d) {
    const step = minus(d, probabilities);
    const g = slope(probabilities);
    const residual = value(d) - value(probabilities) - dot(g, step);
    return plus(scaled(step, residual), jacobian(probabilities, g));
  },
  nvil({ probabilities, value }, d) {
    const costs = probabilities.map((_, k) => value(oneHot(k, d.length)));
    const baseline = dot(probabilities, costs);
    return scaled(minus(d, probabilities), value(d) - baseline);
  },
  reinforce({ probabilities, value }, d) {
    return scaled(minus(d, probabilities), value(d));
  },
};

/* Estimates at two samples. */
const AT_PAIR = {
  rloo({ value }, first, second) {
    const difference = value(first) - value(second);
    return scaled(minus(first, second), difference / 2);
  },
  vimco(problem, first, second) {
    const { probabilities, value } = problem;
    const cost = boundAt(problem, first, second); // -L̂, and -L̂ without one
    const [one, two] = [cost - value(second), cost - value(first)];
    return plus(
      scaled(minus(first, probabilities), one),
      scaled(minus(second, probabilities), two),
    );
  },
};

/** What vimco minimises: -log of the mean of two weights exp(-f). */
function boundAt({ value }, first, second) {
  const costs = [value(first), value(second)];
  const least = Math.min(...costs);
  const weights = costs.map((cost) => Math.exp(least - cost));
  return least - Math.log(sum(weights) / 2);
}

/** The gradient of its expectation, by enumeration of the pairs. */
function exactBoundGradient(problem) {
  const p = problem.probabilities;
  const vertices = p.map((_, k) => oneHot(k, p.length));
  const costs = vertices.map((first) => {
    const given = vertices.map((other) => boundAt(problem, first, other));
    return 2 * dot(p, given);
  });
  return jacobian(p, costs);
}

/** The matrix of mve's linear system: symmetric, its diagonal dominant. */
function mveMatrix(p, tau) {
  return p.map((row, i) => {
    const share = p.map((column) => column / (1 + tau * (row + column)));
    const diagonal = (1 + tau * row) * sum(share);
    return share.map((s, j) => (i === j ? diagonal : 0) - tau * row * s);
  });
}

/** Solves A x = b by elimination; a dominant diagonal needs no pivots. */
function solve(matrix, right) {
  const rows = matrix.map((row, i) => [...row, right[i]]);
  const size = right.length;
  for (let k = 0; k < size; k++) {
    for (let i = 0; i < size; i++) {
      if (i === k) continue;
      const factor = rows[i][k] / rows[k][k];
      for (let j = k; j <= size; j++) rows[i][j] -= factor * rows[k][j];
    }
  }
  return rows.map((row, k) => row[size] / row[k]);
}
