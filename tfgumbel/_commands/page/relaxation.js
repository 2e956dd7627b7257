/* The Gumbel-softmax (Concrete) distribution. */

/** softmax(x / τ). */
function softmax(x, temperature = 1) {
  const top = Math.max(...x);
  const weights = x.map((value) => Math.exp((value - top) / temperature));
  const total = sum(weights);
  return weights.map((weight) => weight / total);
}

function sum(x) {
  let total = 0;
  for (const value of x) total += value;
  return total;
}

function dot(x, y) {
  let total = 0;
  for (let k = 0; k < x.length; k++) total += x[k] * y[k];
  return total;
}

function argmax(x) {
  let best = 0;
  for (let k = 1; k < x.length; k++) if (x[k] > x[best]) best = k;
  return best;
}

function oneHot(index, classes) {
  return Array.from({ length: classes }, (_, k) => (k === index ? 1 : 0));
}

/** A relaxed sample y = softmax((logits + G) / τ). */
function gumbelSoftmax(logits, noise, temperature) {
  return softmax(
    logits.map((logit, k) => logit + noise[k]),
    temperature,
  );
}

/** Perturbed logits, given that their argmax is `index`. */
function conditionalGumbel(logits, index, noise) {
  const top = Math.max(...logits);
  const total =
    top + Math.log(sum(logits.map((logit) => Math.exp(logit - top))));
  const winner = total + noise[index];
  return logits.map((logit, k) => {
    if (k === index) return winner;
    return winner - softplus(noise[index] - noise[k] - (logit - total));
  });
}

function softplus(x) {
  return Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
}

/**
 * Log-density of a relaxed sample x on the simplex, in nats:
 * log (K-1)! + (K-1) log τ + Σ_k log softmax(logits - τ log x)_k - Σ_k log x_k.
 */
function concreteLogProb(x, logits, temperature) {
  const logs = x.map((value) => Math.log(Math.max(value, 1e-30)));
  const scaled = logits.map((logit, k) => logit - temperature * logs[k]);
  const top = Math.max(...scaled);
  const total =
    top + Math.log(sum(scaled.map((value) => Math.exp(value - top))));
  let result = (x.length - 1) * Math.log(temperature);
  for (let k = 0; k < x.length; k++) {
    result += scaled[k] - total - logs[k] + Math.log(Math.max(k, 1));
  }
  return result;
}

/** Sets one probability and scales the others, so that the sum stays 1. */
function withProbability(probabilities, index, value, least = 0.005) {
  const rest = 1 - probabilities[index];
  const others = probabilities.map((p) =>
    Math.max(least, (p * (1 - value)) / rest),
  );
  others[index] = 0;
  const scale = (1 - value) / sum(others);
  return others.map((p, k) => (k === index ? value : p * scale));
}
