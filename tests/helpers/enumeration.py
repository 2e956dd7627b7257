"""Problems small enough to enumerate, and an estimator's gradients on them.

A cost `f(z, w)` sees samples flattened to `[n, V]` and weights of its own, one
row per row of samples, so that one call on an example repeated N times gives N
independent gradients.
"""

import numpy as np
import tensorflow as tf

from tfgumbel import distributions, estimators

LOGITS = {
    # Mean and log-variance of three variables.
    "gaussian": np.array([[0.5, -0.4], [-0.7, 0.3], [0.2, 0.0]], "float32"),
    "bernoulli": np.array([0.6, -0.9, 0.2], "float32"),
    "categorical": np.array([[0.5, -0.7, 0.1], [-0.3, 0.8, 0.0]], "float32"),
}
WEIGHTS = {
    "gaussian": np.array([0.9, -0.6, 0.5], "float32"),
    "bernoulli": np.array([0.9, -0.6, 0.5], "float32"),
    "categorical": np.array([0.9, -0.6, 0.3, 0.2, -0.8, 0.7], "float32"),
}


def linear(z, w):
    return tf.reduce_sum(z * w, axis=1) + 0.5


def quadratic(z, w):
    return tf.square(tf.reduce_sum(z * w, axis=1) + 0.6)


def step(z, w):
    # No gradient in z at all.
    z = tf.cast(z > 0.5, tf.float32)
    return tf.maximum(tf.reduce_sum(z * w, axis=1), 0.2)


COSTS = {"linear": linear, "quadratic": quadratic, "step": step}


def randomize(estimator, seed=7, scale=0.1):
    """Moves every trainable weight, so that no control variate is zero."""
    rng = np.random.default_rng(seed)
    for weight in estimator.trainable_variables:
        noise = rng.normal(size=weight.shape).astype("float32")
        weight.assign_add(scale * noise)


def repeated(values, count):
    return tf.repeat(tf.constant(values)[None], count, axis=0)


def bind(cost, w):
    """`cost` as a `cost_fn`, with weights `[B, V]` repeated as it needs."""

    def cost_fn(z):
        flat = tf.reshape(z, [tf.shape(z)[0], w.shape[1]])
        return cost(flat, estimators.tile_context(w, z))

    return cost_fn


def parameters(law, packed):
    """What an estimator takes, of the parameters in one tensor."""
    if law != "gaussian":
        return packed
    return tuple(tf.unstack(packed, axis=-1))


def build(estimator, packed):
    """Builds it for these parameters, which are the context too."""
    shape = tuple(packed.shape)
    if estimator.distribution.name != "gaussian":
        estimator.build(shape, shape)
        return
    *each, count = shape
    estimator.build((tuple(each),) * count, (shape[0], np.prod(shape[1:])))


def gradients(estimator, cost, logits, w, seed, context=None, upstream=None):
    """Cost and per-example gradients in the logits and the weights w."""
    with tf.GradientTape() as tape:
        tape.watch([logits, w])
        given = parameters(estimator.distribution.name, logits)
        value = estimator(bind(cost, w), given, seed, context)
    wrt_logits, wrt_w = tape.gradient(
        value, [logits, w], output_gradients=upstream
    )
    return value, wrt_logits, wrt_w


def exact_gradients(cost, law):
    """Value and gradients of E f, by enumeration or quadrature."""
    if law == "gaussian":
        return quadrature_gradients(cost)
    return gradients(
        estimators.Exact(law),
        cost,
        repeated(LOGITS[law], 1),
        repeated(WEIGHTS[law], 1),
        [0, 0],
    )


def quadrature_gradients(cost, nodes=8):
    """The same for three Gaussians: exact for polynomials up to degree 15."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[points] * 3, indexing="ij"), -1)
    noise = tf.constant(grid.reshape(-1, 3), tf.float32)
    mass = np.einsum("i,j,k->ijk", *[weights / weights.sum()] * 3).ravel()
    both = repeated(LOGITS["gaussian"], 1)
    w = repeated(WEIGHTS["gaussian"], 1)
    with tf.GradientTape() as tape:
        tape.watch([both, w])
        mean, log_variance = tf.unstack(both, axis=-1)
        z = mean + tf.exp(log_variance / 2) * noise
        value = tf.tensordot(tf.constant(mass, tf.float32), cost(z, w), 1)
    return value[None], *tape.gradient(value, [both, w])


def exact_bound_gradients(cost, law, samples=2, add_log_prob=True):
    """The same for -E log 1/S Σ w_s, over the joint law of S draws.

    w = exp(-f) / q, or exp(-f).
    """
    logits = repeated(LOGITS[law], 1)
    w = repeated(WEIGHTS[law], 1)
    if law == "gaussian":  # A sum of half a million terms.
        logits, w = tf.cast(logits, tf.float64), tf.cast(w, tf.float64)
    q = distributions.get(law)

    def bound(z):
        flat = tf.reshape(z, [-1, *logits.shape[1 : q.event_rank + 2]])
        count = tf.shape(flat)[0]
        costs = cost(
            tf.reshape(flat, [count, w.shape[1]]), tf.repeat(w, count, axis=0)
        )
        if add_log_prob:
            given = parameters(law, tf.repeat(logits, count, axis=0))
            costs += q.log_prob(q.constrain(given), flat)
        costs = tf.reshape(costs, [-1, samples])
        return -tf.reduce_logsumexp(-costs, axis=1) + np.log(samples)

    with tf.GradientTape() as tape:
        tape.watch([logits, w])
        if law == "gaussian":
            value = gaussian_mean(bound, logits, samples)[None]
        else:
            joint = tf.concat([logits] * samples, axis=1)
            value = estimators.Exact(law)(bound, joint, [0, 0])
    return value, *tape.gradient(value, [logits, w])


def gaussian_mean(function, packed, samples, nodes=7):
    """E of a function of `[n, samples, V]` Gaussian draws, by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    size = samples * packed.shape[1]
    grid = np.stack(np.meshgrid(*[points] * size, indexing="ij"), -1)
    noise = grid.reshape(-1, samples, packed.shape[1])
    mass = np.ones(1)
    for _ in range(size):
        mass = np.multiply.outer(mass, weights / weights.sum())
    mean, log_variance = tf.unstack(packed, axis=-1)
    z = mean + tf.exp(log_variance / 2) * noise
    return tf.tensordot(mass.ravel(), function(z), 1)
