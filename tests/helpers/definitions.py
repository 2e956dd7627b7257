"""What layers must return in training and in inference, in plain ops.

Each definition is a function of the layer, its noise and its inputs; autodiff
of it gives the gradient that the layer's own must equal.
"""

import functools
import itertools

import numpy as np
import tensorflow as tf

import tfgumbel as tg
from tests.ops.derivatives import weights_like


def through(value, surrogate):
    """`value`, held constant, with the gradient of `surrogate`."""
    return surrogate + tf.stop_gradient(value - surrogate)


def sum_over_example(values):
    return tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), 1)


def linear_cost(sample):
    """A cost per example that is no function of the layer's parameters."""
    sample = tf.cast(sample, tf.float32)
    return tf.stop_gradient(sum_over_example(weights_like(sample[:1]) * sample))


# Categorical variables.


def legal(logits, mask=None):
    if mask is None:
        return logits
    return tf.where(mask, logits, tf.cast(-np.inf, logits.dtype))


def one_hot(values, axis):
    largest = tf.reduce_max(values, axis, keepdims=True)
    return tf.stop_gradient(tf.cast(values == largest, values.dtype))


def row_uniforms(shape, seed, axis=-1):
    """A uniform for each row of categories, with `axis` kept."""
    uniform = tg.random.uniform64(np.delete(shape, axis), seed)
    return tf.expand_dims(uniform, axis)


def drawn(logits, uniform, axis):
    """One-hot of the first category whose cumulative probability is above."""
    sums = tf.cumsum(tf.nn.softmax(logits, axis), axis)
    above = tf.cast(sums > uniform, logits.dtype)
    return tf.stop_gradient(tf.cast(tf.cumsum(above, axis) == 1, logits.dtype))


def temperature_of(layer, dtype):
    return tf.cast(tf.convert_to_tensor(layer.temperature), dtype)


def gumbel_softmax(layer, noise, logits, mask=None):
    tau = temperature_of(layer, logits.dtype)
    y = tf.nn.softmax((legal(logits, mask) + noise) / tau, layer.axis)
    return [y]


def gumbel_softmax_decoupled(layer, noise, logits):
    (y,) = gumbel_softmax(layer, noise, logits)
    tau = tf.cast(tf.convert_to_tensor(layer.backward_temperature), y.dtype)
    return [through(y, tf.nn.softmax((logits + noise) / tau, layer.axis))]


def gumbel_softmax_hard(layer, noise, logits, mask=None):
    (y,) = gumbel_softmax(layer, noise, logits, mask)
    return [through(one_hot(y, layer.axis), y)]


def straight_through(layer, noise, logits, mask=None):
    logits = legal(logits, mask)
    tau = temperature_of(layer, logits.dtype)
    sample = drawn(logits, noise, layer.axis)
    return [through(sample, tf.nn.softmax(logits / tau, layer.axis))]


def softmax_at(p, logits, axis):
    """Something whose Jacobian in the logits is diag(p) - p pᵀ."""
    shift = logits - tf.stop_gradient(logits)
    return tf.nn.softmax(tf.stop_gradient(tf.math.log(p)) + shift, axis)


def reinmax(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = drawn(logits, noise, layer.axis)
    middle = 0.5 * (tf.nn.softmax(logits / tau, layer.axis) + sample)
    second = softmax_at(middle, logits, layer.axis)
    first = tf.nn.softmax(logits, layer.axis)
    return [through(sample, 2.0 * second - 0.5 * first)]


def zgr(layer, noise, logits):
    sample = drawn(logits, noise, layer.axis)
    p = tf.nn.softmax(logits, layer.axis)
    log_p = tf.nn.log_softmax(logits, layer.axis)
    log_prob = tf.reduce_sum(sample * log_p, layer.axis, keepdims=True)
    score = tf.stop_gradient(sample - p)
    return [through(sample, 0.5 * (p + score * log_prob))]


def gapped(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = drawn(logits, noise, layer.axis)
    top = tf.reduce_max(logits, layer.axis, keepdims=True)
    lowered = tf.minimum(logits, top - 1.0)
    moved = sample * top + (1.0 - sample) * lowered
    shift = logits - tf.stop_gradient(logits)
    y = tf.nn.softmax((tf.stop_gradient(moved) + shift) / tau, layer.axis)
    return [through(sample, y)]


# What their ops give is proven by enumeration in tests/ops; here they show
# that the layer calls them right.


def mve(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = drawn(logits, noise, layer.axis)
    return [
        tg.ops.minimum_variance_straight_through(
            logits, sample, temperature=tau, axis=layer.axis
        )
    ]


def gumbel_rao(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    uniform = tf.gather(noise[0], [0], axis=layer.axis)
    sample = drawn(logits, uniform, layer.axis)
    return [
        tg.ops.gumbel_rao(
            logits, sample, noise[1:], temperature=tau, axis=layer.axis
        )
    ]


def gumbel_rao_noise(shape, seed, axis=-1):
    """That of the sample, repeated, then that of the average."""
    first = tf.broadcast_to(row_uniforms(shape, seed, axis), shape)
    shape = tf.concat([[10], shape], axis=0)
    more = tg.random.gumbel(shape, tg.random.split(seed, 1)[0])
    return tf.concat([first[None], tf.cast(more, first.dtype)], axis=0)


def k_hot(values, k, axis):
    descending = tf.sort(values, axis, "DESCENDING")
    least = tf.gather(descending, [k - 1], axis=axis)
    return tf.stop_gradient(tf.cast(values >= least, values.dtype))


def subset(layer, noise, logits, mask=None):
    keys = legal(logits, mask) + noise
    tau = temperature_of(layer, logits.dtype)
    softmaxes = []
    for _ in range(layer.k):
        softmaxes.append(tf.nn.softmax(keys / tau, layer.axis))
        keys += tf.math.log1p(-softmaxes[-1])
    return [tf.add_n(softmaxes)]


def subset_hard(layer, noise, logits, mask=None):
    (y,) = subset(layer, noise, logits, mask)
    keys = legal(logits, mask) + noise
    return [through(k_hot(keys, layer.k, layer.axis), y)]


SUBSET_INFERENCE = {
    "mode": lambda layer, logits, mask=None: [
        k_hot(legal(logits, mask), layer.k, layer.axis)
    ],
}


def k_hots(n, k):
    """Every subset of k of n, `[N, n]`."""
    rows = itertools.combinations(range(n), k)
    return np.sum(np.eye(n)[list(rows)], axis=1)


def subset_marginals(layer, logits, mask=None):
    """By enumeration, in plain ops."""
    logits = legal(logits, mask)
    logits = tf.maximum(logits, tf.cast(-1e30, logits.dtype))
    last = tf.experimental.numpy.moveaxis(logits, layer.axis, -1)
    z = tf.constant(k_hots(last.shape[-1], layer.k), logits.dtype)
    q = tf.nn.softmax(tf.einsum("...n,sn->...s", last, z))
    marginals = tf.einsum("...s,sn->...n", q, z)
    return tf.experimental.numpy.moveaxis(marginals, -1, layer.axis)


def subset_exact(layer, noise, logits, mask=None):
    drawn = tg.ops.sample_subset(
        legal(logits, mask), noise, k=layer.k, axis=layer.axis
    )
    return [through(drawn, subset_marginals(layer, logits, mask))]


def implicit_mle(layer, noise, logits):
    """Its gradient is a difference, which is no derivative of anything."""
    keys = logits + tf.cast(noise, logits.dtype)
    z = k_hot(keys, layer.k, layer.axis)

    @tf.custom_gradient
    def sample(logits):
        def grad(upstream):
            moved = k_hot(keys - layer.step * upstream, layer.k, layer.axis)
            return (z - moved) / layer.step

        return z, grad

    return [sample(logits)]


EXACT_SUBSET_INFERENCE = {
    **SUBSET_INFERENCE,
    "mean": lambda layer, logits, mask=None: [
        subset_marginals(layer, logits, mask)
    ],
}


# Permutations.


def sorting_matrix(scores):
    order = tf.argsort(scores, direction="DESCENDING")
    return tf.one_hot(order, scores.shape[-1], dtype=scores.dtype)


def soft_sort(layer, noise, logits):
    scores = logits + noise
    ordered = tf.sort(scores, direction="DESCENDING")
    distance = tf.abs(ordered[..., :, None] - scores[..., None, :])
    return [tf.nn.softmax(-distance / temperature_of(layer, logits.dtype))]


def neural_sort(layer, noise, logits):
    scores = logits + noise
    n = scores.shape[-1]
    pairs = tf.abs(scores[..., :, None] - scores[..., None, :])
    rows = [
        (n + 1 - 2 * t) * scores - tf.reduce_sum(pairs, -1)
        for t in range(1, n + 1)
    ]
    rows = tf.stack(rows, axis=-2)
    return [tf.nn.softmax(rows / temperature_of(layer, logits.dtype))]


def sorted_hard(layer, noise, logits):
    (y,) = soft_sort(layer, noise, logits)
    return [through(sorting_matrix(logits + noise), y)]


def sinkhorn(layer, noise, logits):
    y = (logits + noise) / temperature_of(layer, logits.dtype)
    for _ in range(layer.iterations):
        y -= tf.reduce_logsumexp(y, -1, keepdims=True)
        y -= tf.reduce_logsumexp(y, -2, keepdims=True)
    return [tf.exp(y)]


def matching(scores):
    """The permutation of the largest total, out of all of them."""
    n = scores.shape[-1]
    matrices = np.eye(n)[list(itertools.permutations(range(n)))]
    totals = np.einsum("...ij,pij->...p", np.asarray(scores), matrices)
    return matrices[np.argmax(totals, axis=-1)]


def sinkhorn_hard(layer, noise, logits):
    (y,) = sinkhorn(layer, noise, logits)
    return [through(tf.cast(matching(logits + noise), y.dtype), y)]


SORT_INFERENCE = {"mode": lambda layer, logits: [sorting_matrix(logits)]}
MATCHING_INFERENCE = {"mode": lambda layer, logits: [matching(logits)]}


# Gates.


def gate_noise(kind, shape, seed, axis=-1):
    """For each example and gate."""
    return kind([shape[0], shape[axis]], seed)


logistic_of_gates = functools.partial(gate_noise, tg.random.logistic)
normal_of_gates = functools.partial(gate_noise, tg.random.normal)


def gate_parameters(layer, inputs, gates):
    if gates is None:
        gates = tf.convert_to_tensor(layer.gates)[None]
    return tf.cast(gates, inputs.dtype)


def gated(layer, inputs, gates):
    values = tf.minimum(tf.maximum(gates, 0.0), 1.0)
    shape = np.ones(inputs.shape.rank, int)
    shape[0], shape[layer.axis] = -1, values.shape[-1]
    return inputs * tf.reshape(values, shape)


def open_cost(layer, probability):
    weight = tf.cast(tf.convert_to_tensor(layer.weight), probability.dtype)
    return weight * tf.reduce_mean(tf.reduce_sum(probability, axis=-1))


def hard_concrete_gate(layer, noise, inputs, gates=None):
    logits = gate_parameters(layer, inputs, gates)
    tau = temperature_of(layer, inputs.dtype)
    stretched = 1.2 * tf.sigmoid((logits + noise) / tau) - 0.1
    # P(1.2 s - 0.1 > 0) = P(L > τ logit(1/12) - logits)
    chance = tf.sigmoid(logits + tau * np.log(11.0))
    return [gated(layer, inputs, stretched), open_cost(layer, chance)]


def gaussian_gate(layer, noise, inputs, gates=None):
    mean = gate_parameters(layer, inputs, gates)
    values = mean + layer.stddev * noise
    chance = 0.5 + 0.5 * tf.math.erf(mean / layer.stddev / np.sqrt(2.0))
    return [gated(layer, inputs, values), open_cost(layer, chance)]


HARD_CONCRETE_INFERENCE = {
    "default": lambda layer, inputs, gates=None: [
        gated(
            layer,
            inputs,
            1.2 * tf.sigmoid(gate_parameters(layer, inputs, gates)) - 0.1,
        )
    ]
}
# Noise whose shape depends on the axis of the categories or gates.
NOISE_OF_ROWS = (
    row_uniforms,
    gumbel_rao_noise,
    logistic_of_gates,
    normal_of_gates,
)
GAUSSIAN_GATE_INFERENCE = {
    "default": lambda layer, inputs, gates=None: [
        gated(layer, inputs, gate_parameters(layer, inputs, gates))
    ]
}


def concrete_selector(layer, noise, inputs):
    logits = tf.cast(tf.convert_to_tensor(layer.logits), inputs.dtype)
    tau = temperature_of(layer, inputs.dtype)
    shares = tf.nn.softmax((logits + noise) / tau)
    return [inputs @ tf.transpose(shares)]


def concrete_selector_noise(shape, seed):
    """One draw for each node, whatever the batch."""
    return tg.random.gumbel([4, shape[-1]], seed)


CATEGORICAL_INFERENCE = {
    "mode": lambda layer, logits, mask=None: [
        one_hot(legal(logits, mask), layer.axis)
    ],
    "mean": lambda layer, logits, mask=None: [
        tf.nn.softmax(legal(logits, mask), layer.axis)
    ],
}


def embedded(one_hot_of):
    """The definition of a one-hot or mean, times the layer's table."""

    def times_table(layer, *arguments):
        (z,) = one_hot_of(layer, *arguments)
        table = tf.cast(tf.convert_to_tensor(layer.embeddings), z.dtype)
        return [tf.tensordot(z, table, 1)]

    return times_table


EMBEDDING_INFERENCE = {
    mode: embedded(value) for mode, value in CATEGORICAL_INFERENCE.items()
}


# Codes.


def code_logits(layer, inputs, book):
    distances = tf.reduce_sum(tf.square(inputs[..., None, :] - book), -1)
    return -distances / tf.cast(tf.convert_to_tensor(layer.scale), book.dtype)


def code_uniforms(shape, seed):
    """A uniform for each vector, with an axis for the codes."""
    uniform = tg.random.uniform64([np.prod(shape[:-1])], seed)
    return tf.reshape(uniform, [*shape[:-1], 1])


def code_gumbels(shape, seed):
    """Those of the first block, for five codes."""
    gumbel = tg.random.gumbel(
        [np.prod(shape[:-1]), 5], tg.random.split(seed, 1)[0]
    )
    return tf.reshape(gumbel, [*shape[:-1], 5])


def code_losses(inputs, codes):
    """Both terms, for the default factors."""
    held = tf.stop_gradient
    first = tf.square(inputs - held(codes))
    second = tf.square(held(inputs) - codes)
    return tf.reduce_mean(0.25 * first + second)


def drawn_codes(one_hot_of):
    """A definition of a one-hot of logits, times the codebook."""

    def quantized(layer, noise, inputs):
        book = tf.cast(tf.convert_to_tensor(layer.codebook), inputs.dtype)[0, 0]
        logits = code_logits(layer, inputs, book)
        (z,) = one_hot_of(layer, noise, logits)
        codes = tf.tensordot(z, book, 1)
        return [codes, code_losses(inputs, tf.stop_gradient(codes))]

    return quantized


def nearest_codes(layer, inputs):
    """Of two groups and two stages, if so: what they add up to, and left."""
    books = tf.cast(tf.convert_to_tensor(layer.codebook), inputs.dtype)
    total, left, losses = 0.0, inputs, []
    for stage in tf.unstack(books):
        groups = zip(
            tf.split(left, len(stage), axis=-1), tf.unstack(stage), strict=True
        )
        codes = []
        for part, book in groups:
            z = one_hot(code_logits(layer, part, book), -1)
            codes.append(tf.tensordot(z, book, 1))
        codes = tf.concat(codes, axis=-1)
        losses.append(code_losses(left, codes))
        total, left = total + codes, left - tf.stop_gradient(codes)
    return [tf.stop_gradient(total), tf.add_n(losses)]


def copied_codes(layer, noise, inputs):
    codes, loss = nearest_codes(layer, inputs)
    return [through(codes, inputs), loss]


CODE_INFERENCE = {
    "mode": lambda layer, inputs: nearest_codes(layer, inputs)[:1]
}


# Bits.


def step(values):
    return tf.stop_gradient(tf.cast(values > 0, values.dtype))


def binary_concrete(layer, noise, logits):
    return [tf.sigmoid((logits + noise) / temperature_of(layer, logits.dtype))]


def binary_concrete_hard(layer, noise, logits):
    (y,) = binary_concrete(layer, noise, logits)
    return [through(step(y - 0.5), y)]


def reinmax_bernoulli(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    sample = step(logits + noise)
    middle = 0.5 * (tf.sigmoid(logits / tau) + sample)
    shift = logits - tf.stop_gradient(logits)
    log_odds = tf.stop_gradient(tf.math.log(middle / (1.0 - middle)))
    surrogate = 2.0 * tf.sigmoid(log_odds + shift) - 0.5 * tf.sigmoid(logits)
    return [through(sample, surrogate)]


def straight_through_bernoulli(layer, noise, logits):
    tau = temperature_of(layer, logits.dtype)
    return [through(step(logits + noise), tf.sigmoid(logits / tau))]


BERNOULLI_INFERENCE = {
    "mode": lambda layer, logits: [step(logits)],
    "mean": lambda layer, logits: [tf.sigmoid(logits)],
}


# Gaussians.

STDDEV = {
    "log_variance": lambda scale: tf.exp(scale / 2),
    "log_stddev": tf.exp,
    "softplus": tf.nn.softplus,
    "stddev": tf.identity,
}


def reparam_gaussian(layer, noise, parameters):
    mean, scale = parameters
    return [mean + STDDEV[layer.parameterization](scale) * noise]


def tril(scale):
    """The lower triangle of four rows, one after the other."""
    rows, first = [], 0
    for size in (1, 2, 3, 4):
        row = scale[..., first : first + size]
        last = tf.nn.softplus(row[..., -1:])
        zeros = tf.zeros_like(scale[..., : 4 - size])
        rows.append(tf.concat([row[..., :-1], last, zeros], -1))
        first += size
    return tf.stack(rows, -2)


def reparam_gaussian_tril(layer, noise, parameters):
    mean, scale = parameters
    return [mean + tf.einsum("...ij,...j->...i", tril(scale), noise)]


def gaussian_mean(layer, parameters):
    return [parameters[0]]


# Continuous variables. The gradient is -(∂F/∂φ) / q by autodiff of the cdf.


def constrained(raw):
    return tf.nn.softplus(raw) + np.exp(-15.0)


def continuous_noise(name, inputs, shape, seed):
    """The samples that the layer draws, of a gamma variable their log."""
    distribution = tg.distributions.get(name)
    parameters = distribution.constrain(inputs)
    if name == "gamma":
        return log_gamma(parameters[0], seed)
    return distribution.sample(parameters, seed)


def log_gamma(concentration, seed):
    """log z of a standard gamma variable, from the noise that is drawn."""
    seeds = tg.random.split(seed, 3)
    shape = tf.shape(concentration)
    proposals = tf.concat([[tg.ops.GAMMA_PROPOSALS], shape], axis=0)
    kinds = (tg.random.normal, tg.random.uniform, tg.random.exponential)
    noise = [
        tf.cast(kind(size, seed), concentration.dtype)
        for kind, size, seed in zip(
            kinds, (proposals, proposals, shape), seeds, strict=True
        )
    ]
    return tg.ops.log_gamma_sample(concentration, *noise)


def gamma_sample(layer, log_standard, inputs):
    concentration, rate = map(constrained, inputs)
    z = tf.exp(log_standard)
    cdf = tf.math.igamma(concentration, z)
    log_slope = concentration * log_standard - z - tf.math.lgamma(concentration)
    step = (tf.stop_gradient(cdf) - cdf) / tf.stop_gradient(tf.exp(log_slope))
    return [tf.exp(log_standard + step) / rate]


def mixture_sample(layer, z, inputs):
    logits, mean, stddev = inputs[0], inputs[1], constrained(inputs[2])
    standard = (z[..., None] - mean) / stddev
    weight = tf.nn.softmax(logits)
    cdf = tf.reduce_sum(weight * tf.math.erfc(-standard / np.sqrt(2)), -1) / 2
    density = weight * tf.exp(-(standard**2) / 2) / stddev / np.sqrt(2 * np.pi)
    density = tf.reduce_sum(tf.stop_gradient(density), -1)
    return [z + (tf.stop_gradient(cdf) - cdf) / density]


def gamma_mean(layer, inputs):
    return [constrained(inputs[0]) / constrained(inputs[1])]


def gamma_mode(layer, inputs):
    return [tf.nn.relu(constrained(inputs[0]) - 1) / constrained(inputs[1])]


def mixture_mean(layer, inputs):
    return [tf.reduce_sum(tf.nn.softmax(inputs[0]) * inputs[1], -1)]


CONTINUOUS_TRAINING = {"gamma": gamma_sample, "mixture": mixture_sample}
CONTINUOUS_INFERENCE = {
    "gamma": {"mean": gamma_mean, "mode": gamma_mode},
    "mixture": {"mean": mixture_mean},
}


# The score function.


def gaussian_log_density(parameters, sample):
    mean, log_variance = parameters
    squared = tf.square(sample - mean) * tf.exp(-log_variance)
    return -0.5 * (squared + log_variance + np.log(2 * np.pi))


LOG_PROB_OF = {
    "categorical": lambda logits, z: z * tf.nn.log_softmax(logits),
    "bernoulli": lambda logits, z: (
        z * tf.math.log_sigmoid(logits) + (1 - z) * tf.math.log_sigmoid(-logits)
    ),
    "gaussian": gaussian_log_density,
}
DRAW = {
    "categorical": lambda logits, uniform: drawn(logits, uniform, -1),
    "bernoulli": lambda logits, noise: step(logits + noise),
    "gaussian": lambda p, noise: p[0] + tf.exp(p[1] / 2) * noise,
}
MEAN_OF = {
    "categorical": tf.nn.softmax,
    "bernoulli": tf.sigmoid,
    "gaussian": lambda p: p[0],
}
MODE_OF = {
    "categorical": lambda logits: one_hot(logits, -1),
    "bernoulli": step,
    "gaussian": lambda p: p[0],
}
NOISE_OF = {
    "categorical": row_uniforms,
    "bernoulli": tg.random.logistic,
    "gaussian": tg.random.normal,
}


def with_cost(cost, log_prob, baseline):
    """The cost, with gradient (cost - baseline) · ∇log_prob."""
    signal = tf.stop_gradient(cost - baseline)
    return cost + signal * (log_prob - tf.stop_gradient(log_prob))


def learned_baseline(layer, context):
    """What the baseline gives before it has seen a cost."""
    if layer.baseline is None or layer.baseline.network is None:
        return tf.zeros([], context.dtype)
    value = layer.baseline.network(tf.cast(context, tf.float32))
    return tf.cast(tf.reshape(value, [-1]), context.dtype)


def log_prob_of(layer, parameters, sample):
    log_prob = LOG_PROB_OF[layer.distribution.name](
        parameters, tf.stop_gradient(sample)
    )
    return sum_over_example(log_prob)


def sample_and_log_prob(layer, noise, parameters):
    z = tf.stop_gradient(DRAW[layer.distribution.name](parameters, noise))
    return [z, log_prob_of(layer, parameters, z)]


def sample_and_cost(layer, noise, parameters, context):
    z, log_prob = sample_and_log_prob(layer, noise, parameters)
    baseline = learned_baseline(layer, context)
    cost = tf.cast(linear_cost(z), z.dtype)
    return [z, with_cost(cost, log_prob, baseline)]


def constant_sample(value, layer, parameters, context=None):
    z = tf.stop_gradient(value[layer.distribution.name](parameters))
    if not layer.return_log_prob:
        return [z]
    return [z, log_prob_of(layer, parameters, z)]


REINFORCE_INFERENCE = {
    "mode": functools.partial(constant_sample, MODE_OF),
    "mean": functools.partial(constant_sample, MEAN_OF),
}


def costs(layer, noise, cost, log_prob, context=None):
    baseline = 0.0 if context is None else learned_baseline(layer, context)
    return [with_cost(cost, log_prob, baseline)]


# Divergences.


def weighted_mean(layer, divergence):
    weight = tf.cast(tf.convert_to_tensor(layer.weight), divergence.dtype)
    if layer.free_bits:
        groups = tf.split(
            tf.reshape(divergence, [len(divergence), -1]), layer.groups, axis=1
        )
        means = [tf.reduce_mean(tf.reduce_sum(g, axis=1)) for g in groups]
        free = [tf.maximum(m, layer.free_bits) for m in means]
        return weight * tf.add_n(free)
    mean = tf.reduce_mean(sum_over_example(divergence))
    if layer.capacity is not None:
        capacity = tf.convert_to_tensor(layer.capacity)
        mean = tf.abs(mean - tf.cast(capacity, mean.dtype))
    return weight * mean


def entropy(p):
    return -tf.reduce_sum(tf.math.xlogy(p, p), axis=-1)


def code_diversity(layer, noise, logits):
    """As wav2vec 2.0 writes it, for G codebooks of V codes."""
    p = tf.reduce_mean(tf.nn.softmax(logits), axis=0)
    groups, codes = p.shape
    loss = (groups * codes - tf.reduce_sum(tf.exp(entropy(p)))) / groups / codes
    return [logits, as_weighted(layer, loss)]


def code_entropy(layer, noise, logits):
    """All variables share the codes."""
    p = tf.nn.softmax(logits)
    loss = tf.reduce_mean(entropy(p))
    loss -= layer.gamma * entropy(tf.reduce_mean(p, axis=[0, 1]))
    return [logits, as_weighted(layer, loss)]


def code_balance(layer, noise, logits):
    share = tf.reduce_mean(one_hot(logits, -1), axis=0)
    mean = tf.reduce_mean(tf.nn.softmax(logits), axis=0)
    loss = mean.shape[-1] * tf.reduce_sum(share * mean, axis=-1)
    return [logits, as_weighted(layer, tf.reduce_mean(loss))]


def as_weighted(layer, loss):
    return tf.cast(tf.convert_to_tensor(layer.weight), loss.dtype) * loss


def categorical_kl(layer, noise, logits):
    q = tf.nn.log_softmax(logits, layer.axis)
    (prior,) = layer.prior
    prior = tf.broadcast_to(tf.cast(prior, q.dtype), tf.shape(q))
    p = tf.nn.log_softmax(prior, layer.axis)
    return [logits, weighted_mean(layer, tf.exp(q) * (q - p))]


def bernoulli_kl(layer, noise, logits):
    q = tf.sigmoid(logits)
    p = tf.sigmoid(tf.cast(layer.prior[0], logits.dtype))
    on = q * tf.math.log(q / p)
    off = (1 - q) * tf.math.log((1 - q) / (1 - p))
    return [logits, weighted_mean(layer, on + off)]


def gaussian_tril_kl(layer, noise, parameters):
    """By the formula for any two Gaussians."""
    mean, scale = parameters
    factor = tril(scale) / layer.prior[1]
    covariance = tf.matmul(factor, factor, transpose_b=True)
    shift = (mean - layer.prior[0]) / layer.prior[1]
    divergence = tf.linalg.trace(covariance) + tf.reduce_sum(shift**2, -1)
    divergence -= 4 + tf.linalg.logdet(covariance)
    return [mean, scale, weighted_mean(layer, divergence / 2)]


def gaussian_kl(layer, noise, parameters):
    mean, scale = parameters
    stddev = STDDEV[layer.parameterization](scale)
    ratio = stddev / layer.prior[1]
    shift = (mean - layer.prior[0]) / layer.prior[1]
    divergence = (ratio**2 + shift**2 - 1) / 2 - tf.math.log(ratio)
    return [mean, scale, weighted_mean(layer, divergence)]


def gamma_kl(layer, noise, inputs):
    a, b = map(constrained, inputs)
    c, d = (tf.cast(value, a.dtype) for value in layer.prior)
    divergence = (a - c) * tf.math.digamma(a) - tf.math.lgamma(a)
    divergence += tf.math.lgamma(c) + c * tf.math.log(b / d) + a * (d - b) / b
    return [*inputs, weighted_mean(layer, divergence)]


def kumaraswamy_noise(shape, seed):
    """That of two samples."""
    return tg.random.exponential(tf.concat([[2], shape], axis=0), seed)


def kumaraswamy_kl(layer, exponential, inputs):
    a, b = map(constrained, inputs)
    c, d = (tf.cast(value, a.dtype) for value in layer.prior)
    rest = tf.exp(-exponential / b)  # 1 - zᵃ
    log_z = tf.math.log1p(-rest) / a
    log_q = tf.math.log(a * b) + (a - 1) * log_z + (b - 1) * tf.math.log(rest)
    log_p = tf.math.log(c * d) + (c - 1) * log_z
    log_p += (d - 1) * tf.math.log(-tf.math.expm1(c * log_z))
    divergence = tf.reduce_mean(log_q - log_p, axis=0)
    return [*inputs, weighted_mean(layer, divergence)]
