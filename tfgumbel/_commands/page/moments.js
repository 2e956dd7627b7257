/* Mean and total variance of an estimator's gradient. */

const NOISE_SAMPLES = 10; // M of Gumbel-Rao
const REBAR_TEMPERATURE = 0.5; // with η = 1: before it learns both

/** Of a mixture of parts {weight, mean, variance}, whose weights sum to 1. */
function mixture(parts) {
  const mean = parts[0].mean.map(() => 0);
  let square = 0;
  for (const part of parts) {
    for (let k = 0; k < mean.length; k++) mean[k] += part.weight * part.mean[k];
    square += part.weight * (dot(part.mean, part.mean) + (part.variance ?? 0));
  }
  return { mean, variance: Math.max(0, square - dot(mean, mean)) };
}

/** E over the exact sample: a sum over its K values. */
function sampleMoments(estimate, problem, temperature) {
  const p = problem.probabilities;
  return mixture(
    p.map((weight, k) => ({
      weight,
      mean: estimate(problem, oneHot(k, p.length), temperature),
    })),
  );
}

/** E over two exact samples: a sum over their K² values. */
function pairMoments(estimate, problem) {
  const p = problem.probabilities;
  const parts = p.flatMap((weight, i) =>
    p.map((other, j) => ({
      weight: weight * other,
      mean: estimate(problem, oneHot(i, p.length), oneHot(j, p.length)),
    })),
  );
  return mixture(parts);
}

/** Perturbed logits given each sample d, from the same noise vectors. */
function perturb(problem, noises) {
  return problem.probabilities.map((_, index) =>
    noises.map((noise) => conditionalGumbel(problem.logits, index, noise)),
  );
}

/** Sums up vectors. */
class Tally {
  constructor(size) {
    this.count = 0;
    this.total = new Float64Array(size);
    this.square = 0;
  }

  add(vector, factor) {
    this.count += 1;
    for (let k = 0; k < vector.length; k++) {
      const value = factor * vector[k];
      this.total[k] += value;
      this.square += value * value;
    }
  }

  moments() {
    const mean = Array.from(this.total, (value) => value / this.count);
    const variance = this.square / this.count - dot(mean, mean);
    return { mean, variance: Math.max(0, variance) };
  }
}

/**
 * The estimators that see the relaxed sample y, given d = argmax y:
 * gumbel_softmax J(y) f'(y) / τ, st_gumbel J(y) f'(d) / τ, and gumbel_rao, the
 * latter's mean over M noises for one d. Here f' = slope(u) w.
 */
function relaxedMoments(problem, perturbed, temperature) {
  const { w, slopeAt, probabilities } = problem;
  const parts = { gumbel_softmax: [], st_gumbel: [], gumbel_rao: [] };
  perturbed.forEach((vectors, index) => {
    const weight = probabilities[index];
    const soft = new Tally(w.length);
    const hard = new Tally(w.length);
    const y = new Float64Array(w.length);
    for (const z of vectors) {
      softmaxInto(y, z, z[index], temperature);
      const u = dot(w, y);
      for (let k = 0; k < y.length; k++) y[k] *= (w[k] - u) / temperature;
      soft.add(y, slopeAt(u));
      hard.add(y, slopeAt(w[index]));
    }
    const { mean, variance } = hard.moments();
    const averaged = variance / NOISE_SAMPLES;
    parts.gumbel_softmax.push({ weight, ...soft.moments() });
    parts.st_gumbel.push({ weight, mean, variance });
    parts.gumbel_rao.push({ weight, mean, variance: averaged });
  });
  return Object.fromEntries(
    Object.entries(parts).map(([name, list]) => [name, mixture(list)]),
  );
}

/**
 * rebar, [f(d) - η f(ỹ)] (d - π) + η ∇f(y) - η ∇f(ỹ). Given d, y and ỹ are
 * independent and of one distribution: the variances of their parts add up.
 */
function rebarMoments(problem, perturbed, tau = REBAR_TEMPERATURE, eta = 1) {
  const parts = perturbed.map((vectors, index) => {
    const size = vectors[0].length;
    const [free, given] = [new Tally(size), new Tally(size)];
    const path = new Float64Array(size);
    const rest = new Float64Array(size);
    for (const z of vectors) {
      rebarInto(path, rest, problem, index, z, tau, eta);
      free.add(path, 1);
      given.add(rest, 1);
    }
    const [first, second] = [free.moments(), given.moments()];
    return {
      weight: problem.probabilities[index],
      mean: plus(first.mean, second.mean),
      variance: first.variance + second.variance,
    };
  });
  return mixture(parts);
}

/** η ∇f(y) into `path`, and into `rest` what sees ỹ, both at softmax(z / τ). */
function rebarInto(path, rest, problem, index, z, tau, eta) {
  const { w, slopeAt, probabilities: p } = problem;
  softmaxInto(rest, z, z[index], tau);
  const u = dot(w, rest);
  const residual = problem.valueAt(w[index]) - eta * problem.valueAt(u);
  const factor = (eta * slopeAt(u)) / tau;
  let total = 0;
  for (let k = 0; k < z.length; k++) {
    path[k] = factor * rest[k] * (w[k] - u);
    // ∂z̃ₖ/∂log πₖ = 1 - exp(z̃ₖ - z̃_d): 0 for the winner.
    rest[k] = -path[k] * Math.expm1(z[k] - z[index]);
    total += rest[k];
  }
  for (let k = 0; k < z.length; k++) {
    const score = (k === index) - p[k];
    rest[k] = residual * score - rest[k] + p[k] * total;
  }
}

/** softmax(z / τ) into y, given the largest of z. */
function softmaxInto(y, z, top, temperature) {
  let total = 0;
  for (let k = 0; k < z.length; k++) {
    y[k] = Math.exp((z[k] - top) / temperature);
    total += y[k];
  }
  for (let k = 0; k < z.length; k++) y[k] /= total;
}

/** Moments of the estimators that do not see the page's temperature. */
function fixedMoments(problem, perturbed) {
  const result = { rebar: rebarMoments(problem, perturbed) };
  for (const [name, estimate] of Object.entries(AT_PAIR)) {
    result[name] = pairMoments(estimate, problem);
  }
  result.vimco.target = exactBoundGradient(problem);
  return result;
}

/** Moments of every estimator at this temperature, by name. */
function allMoments(problem, perturbed, temperature, fixed) {
  const result = relaxedMoments(problem, perturbed, temperature);
  for (const [name, estimate] of Object.entries(AT_SAMPLE)) {
    result[name] = sampleMoments(estimate, problem, temperature);
  }
  return { ...result, ...(fixed ?? fixedMoments(problem, perturbed)) };
}

/**
 * ‖E ĝ - ∇‖, the total variance, and the root of bias² + variance. ∇ is the
 * exact gradient, or the `target` of an estimator with another objective.
 */
function quality({ mean, variance, target }, exact) {
  const gap = minus(mean, target ?? exact);
  const square = dot(gap, gap);
  return {
    bias: Math.sqrt(square),
    variance,
    error: Math.sqrt(square + variance),
  };
}
