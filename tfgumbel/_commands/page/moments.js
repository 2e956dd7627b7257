/* Mean and total variance of an estimator's gradient. */

const NOISE_SAMPLES = 10; // M of Gumbel-Rao

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
function pairMoments(problem) {
  const p = problem.probabilities;
  const parts = p.flatMap((weight, i) =>
    p.map((other, j) => ({
      weight: weight * other,
      mean: pairEstimate(problem, oneHot(i, p.length), oneHot(j, p.length)),
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

/** softmax(z / τ) into y, given the largest of z. */
function softmaxInto(y, z, top, temperature) {
  let total = 0;
  for (let k = 0; k < z.length; k++) {
    y[k] = Math.exp((z[k] - top) / temperature);
    total += y[k];
  }
  for (let k = 0; k < z.length; k++) y[k] /= total;
}

/** Moments of every estimator at this temperature, by name. */
function allMoments(problem, perturbed, temperature) {
  const result = relaxedMoments(problem, perturbed, temperature);
  for (const [name, estimate] of Object.entries(AT_SAMPLE)) {
    result[name] = sampleMoments(estimate, problem, temperature);
  }
  result.rloo = pairMoments(problem);
  return result;
}

/** ‖E ĝ - ∇‖, the total variance, and the root of bias² + variance. */
function quality({ mean, variance }, exact) {
  const gap = minus(mean, exact);
  const square = dot(gap, gap);
  return {
    bias: Math.sqrt(square),
    variance,
    error: Math.sqrt(square + variance),
  };
}
