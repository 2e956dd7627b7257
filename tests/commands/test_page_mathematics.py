"""The page's formulas against those of the package."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg

PROBABILITIES = (
    [0.7, 0.3],
    [0.5, 0.3, 0.2],
    [0.31, 0.02, 0.25, 0.12, 0.2, 0.1],
)
WEIGHTS = [1, -0.4, 0.3, -0.8, 0.6, 0.1]
# The costs of the menu, as functions of u = wᵀz.
COSTS = {
    "linear": lambda u: u,
    "quadratic": lambda u: tf.square(u - 0.5),
    "wave": lambda u: tf.sin(4.0 * u),
    "step": lambda u: tf.cast(u > 0.2, u.dtype) + 0.0 * u,
}
AT_SAMPLE = {
    "st": tg.ops.straight_through,
    "gapped": tg.ops.gapped_straight_through,
    "reinmax": tg.ops.reinmax,
    "zgr": lambda logits, sample, **_: tg.ops.zgr(logits, sample),
    "mve": lambda logits, sample, **_: tg.ops.minimum_variance_straight_through(
        logits, sample, temperature=1e6
    ),
}
of_every_size = pytest.mark.parametrize(
    "probabilities", PROBABILITIES, ids=lambda p: f"K{len(p)}"
)
of_every_cost = pytest.mark.parametrize("cost", COSTS)


def call(page, function, *arguments):
    text = ", ".join(json.dumps(np.asarray(a).tolist()) for a in arguments)
    return page.evaluate(f"{function}({text})")


def noises(count, size, seed=3):
    return np.random.default_rng(seed).gumbel(size=(count, size))


def cost_fn(cost, size):
    def value(z):
        w = tf.constant(WEIGHTS[:size], z.dtype)
        return COSTS[cost](tf.reduce_sum(z * w, axis=-1))

    return value


def gradients(function, cost, logits):
    """Per row, the gradient of the cost of what `function` draws."""
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = cost_fn(cost, logits.shape[-1])(function(logits))
    gradient = tape.gradient(value, logits)
    return np.zeros(logits.shape) if gradient is None else gradient.numpy()


def close(actual, expected, atol=1e-9):
    np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=atol)


def test_the_menu_is_that_of_this_file(page):
    assert page.evaluate("Object.keys(COSTS)") == list(COSTS)
    assert page.evaluate("WEIGHTS") == WEIGHTS
    assert set(page.evaluate("Object.keys(ESTIMATORS)")) < set(
        tg.estimators.available("categorical")
    )


@of_every_size
@pytest.mark.parametrize("temperature", [0.1, 0.7, 5.0])
def test_samples_and_densities(page, probabilities, temperature):
    size = len(probabilities)
    logits = np.tile(np.log(probabilities), [7, 1])
    noise = noises(7, size)
    samples = tg.ops.gumbel_softmax(logits, noise, temperature=temperature)
    densities = tg.ops.concrete_log_prob(logits, temperature, samples)
    indices = np.arange(7) % size
    given = tg.ops.conditional_gumbel(logits, np.eye(size)[indices], noise)
    for i, index in enumerate(indices):
        y = call(page, "gumbelSoftmax", logits[i], noise[i], temperature)
        close(y, samples[i], atol=1e-12)
        density = call(page, "concreteLogProb", y, logits[i], temperature)
        close(density, densities[i])
        z = call(page, "conditionalGumbel", logits[i], index, noise[i])
        close(z, given[i])


def make_problem(page, cost, probabilities):
    page.evaluate(
        f"globalThis.problem = makeProblem('{cost}', {probabilities})"
    )


@of_every_size
@of_every_cost
def test_the_exact_gradient(page, cost, probabilities):
    make_problem(page, cost, probabilities)
    logits = tf.math.log(tf.constant([probabilities]))
    exact = tg.estimators.Exact()
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = exact(cost_fn(cost, len(probabilities)), logits, [0, 0])
    actual = page.evaluate("exactGradient(problem)")
    close(actual, tape.gradient(value, logits)[0], atol=1e-6)


@of_every_size
@of_every_cost
@pytest.mark.parametrize("name", AT_SAMPLE)
def test_straight_through_gradients(page, name, cost, probabilities):
    make_problem(page, cost, probabilities)
    size = len(probabilities)
    sample = np.eye(size)
    logits = np.tile(np.log(probabilities), [size, 1])
    for temperature in (0.3, 1.0, 2.5):
        expected = gradients(
            lambda theta, t=temperature: AT_SAMPLE[name](
                theta, sample, temperature=t
            ),
            cost,
            logits,
        )
        actual = page.evaluate(
            f"problem.logits.map((_, k) => AT_SAMPLE['{name}'](problem, "
            f"oneHot(k, {size}), {temperature}))"
        )
        close(actual, expected)


@of_every_size
@pytest.mark.parametrize("tau", [0.1, 1.0, 30.0])
def test_minimum_variance_gradients(page, tau, probabilities):
    """The page draws one τ; the formula holds at any."""
    make_problem(page, "wave", probabilities)
    size = len(probabilities)
    expected = gradients(
        lambda theta: tg.ops.minimum_variance_straight_through(
            theta, np.eye(size), temperature=tau
        ),
        "wave",
        np.tile(np.log(probabilities), [size, 1]),
    )
    actual = page.evaluate(
        "problem.logits.map((_, k) => AT_SAMPLE.mve(problem, "
        f"oneHot(k, {size}), null, {tau}))"
    )
    close(actual, expected)


def made(name, cost, probabilities):
    """An estimator; nvil's baseline is what it learns without a context."""
    if name == "vimco":
        return tg.estimators.VIMCO(add_log_prob=False)
    if name != "nvil":
        return tg.estimators.get(name)
    f = cost_fn(cost, len(probabilities))(tf.eye(len(probabilities)))
    mean = np.dot(probabilities, f.numpy())
    weights = {"kernel_initializer": "zeros", "bias_initializer": "zeros"}
    layer = keras.layers.Dense(1, **weights)
    layer.build((None, len(probabilities)))
    layer.bias.assign([mean])
    return tg.estimators.NVIL(baseline=layer)


def estimates(name, cost, probabilities, rows=40):
    """Samples that an estimator evaluates f at, and its gradients."""
    seen = []

    def evaluate(z):
        seen.append(z.numpy())
        return cost_fn(cost, len(probabilities))(z)

    logits = tf.math.log(tf.constant([probabilities] * rows))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        value = made(name, cost, probabilities)(evaluate, logits, [1, 2])
    gradient = tape.gradient(value, logits).numpy()
    return seen[0].argmax(-1).reshape(-1, rows).T, gradient


@of_every_size
@pytest.mark.parametrize("cost", ["quadratic", "wave"])
@pytest.mark.parametrize(
    "name", ["muprop", "nvil", "reinforce", "rloo", "vimco"]
)
def test_score_function_gradients(page, name, cost, probabilities):
    make_problem(page, cost, probabilities)
    size = len(probabilities)
    drawn, expected = estimates(name, cost, probabilities)
    assert len(np.unique(drawn)) > 1
    kind = (
        "AT_PAIR" if drawn.shape[1] == 2 and name != "muprop" else "AT_SAMPLE"
    )
    actual = page.evaluate(
        f"{drawn.tolist()}.map((row) => {kind}.{name}(problem, "
        f"...row.map((k) => oneHot(k, {size}))))"
    )
    close(actual, expected, atol=1e-6)


def mixture(weights, gradients):
    """Mean and total variance of weighted rows."""
    mean = weights @ gradients
    return mean, weights @ np.sum((gradients - mean) ** 2, axis=-1)


def check_moments(actual, mean, variance):
    close(actual["mean"], mean)
    close(actual["variance"], variance)


@of_every_size
@of_every_cost
def test_moments_over_the_noise(page, cost, probabilities, count=30):
    """Each sample gets its share of the noise, conditioned on it."""
    make_problem(page, cost, probabilities)
    size = len(probabilities)
    noise = noises(count, size)
    page.evaluate(f"globalThis.given = perturb(problem, {noise.tolist()}); 0")
    logits = np.tile(np.log(probabilities), [size * count, 1])
    sample = np.repeat(np.eye(size), count, axis=0)
    tiled = np.tile(noise, [size, 1])
    z = tg.ops.conditional_gumbel(logits, sample, tiled)
    weights = np.repeat(probabilities, count) / count
    for temperature in (0.2, 1.5):
        actual = page.evaluate(f"relaxedMoments(problem, given, {temperature})")
        for name, hard in (("gumbel_softmax", False), ("st_gumbel", True)):

            def draw(theta, t=temperature, h=hard):
                return tg.ops.gumbel_softmax(
                    theta, z - logits, temperature=t, hard=h
                )

            rows = gradients(draw, cost, logits)
            check_moments(actual[name], *mixture(weights, rows))
        parts = rows.reshape(size, count, size)
        mean, between = mixture(np.array(probabilities), parts.mean(1))
        within = probabilities @ parts.var(1).sum(-1)
        check_moments(actual["gumbel_rao"], mean, between + within / 10)


@of_every_size
@pytest.mark.parametrize(
    ("cost", "tau", "eta"),
    [("quadratic", 0.5, 1.0), ("wave", 1.3, 0.4), ("step", 0.5, 1.0)],
)
def test_moments_of_rebar(page, cost, probabilities, tau, eta, count=12):
    """Every y with every ỹ given the same sample, by autodiff of the paper."""
    make_problem(page, cost, probabilities)
    size, p = len(probabilities), np.array(probabilities)
    noise = noises(count, size)
    logits = np.tile(np.log(p), [size * count, 1])
    sample = np.repeat(np.eye(size), count, axis=0)
    tiled = np.tile(noise, [size, 1])
    z = tg.ops.conditional_gumbel(logits, sample, tiled)
    f = cost_fn(cost, size)

    def free(theta):
        return tf.nn.softmax((theta + z - logits) / tau)

    def conditional(theta):
        theta = tf.nn.log_softmax(theta)
        return tf.nn.softmax(
            tg.ops.conditional_gumbel(theta, sample, tiled) / tau
        )

    residual = f(tf.constant(sample)) - eta * f(conditional(logits))
    given = residual.numpy()[:, None] * (sample - p)
    given -= eta * gradients(conditional, cost, logits)
    path = eta * gradients(free, cost, logits)
    path, given = (rows.reshape(size, count, size) for rows in (path, given))
    pairs = (path[:, :, None] + given[:, None]).reshape(-1, size)
    weights = np.repeat(p, count**2) / count**2
    page.evaluate(f"globalThis.given = perturb(problem, {noise.tolist()}); 0")
    actual = page.evaluate(f"rebarMoments(problem, given, {tau}, {eta})")
    check_moments(actual, *mixture(weights, pairs))


@of_every_size
def test_the_objective_of_vimco(page, probabilities):
    """The gradient of its mean bound, by autodiff of the sum over pairs."""
    make_problem(page, "wave", probabilities)
    f = np.sin(4.0 * np.array(WEIGHTS[: len(probabilities)]))
    bound = -np.log((np.exp(-f[:, None]) + np.exp(-f)) / 2.0)
    logits = tf.constant(np.log(probabilities))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        p = tf.nn.softmax(logits)
        mean = tf.einsum("i,j,ij->", p, p, tf.constant(bound))
    expected = tape.gradient(mean, logits)
    close(page.evaluate("exactBoundGradient(problem)"), expected)
    moments = page.evaluate("pairMoments(AT_PAIR.vimco, problem)")
    close(moments["mean"], expected)


@of_every_size
def test_moments_over_samples(page, probabilities):
    make_problem(page, "wave", probabilities)
    size, p = len(probabilities), np.array(probabilities)
    actual = page.evaluate(
        f"allMoments(problem, perturb(problem, gumbelNoise(1, 2, {size})), 0.7)"
    )
    exact = page.evaluate("exactGradient(problem)")
    f = np.sin(4.0 * np.array(WEIGHTS[:size]))
    score = np.eye(size) - p
    check_moments(actual["reinforce"], *mixture(p, f[:, None] * score))
    pairs = (
        (f[:, None] - f)[..., None] * (score[:, None] - score) / 2
    ).reshape(-1, size)
    check_moments(actual["rloo"], *mixture(np.outer(p, p).ravel(), pairs))
    for name in ("reinforce", "rloo", "muprop", "nvil"):
        close(actual[name]["mean"], exact)
    assert page.evaluate(
        "Object.keys(allMoments(problem, perturb(problem, "
        f"gumbelNoise(1, 2, {size})), 0.7)).toSorted().join()"
    ) == page.evaluate("Object.keys(ESTIMATORS).toSorted().join()")
    quality = call(page, "quality", actual["st"], exact)
    bias = np.linalg.norm(np.subtract(actual["st"]["mean"], exact))
    close(quality["bias"], bias)
    close(quality["error"] ** 2, bias**2 + actual["st"]["variance"])


@pytest.mark.parametrize("kind", ["gumbelNoise", "evenGumbelNoise"])
def test_noise_draws_at_the_right_rates(page, kind, count=20_000):
    p = np.array([0.5, 0.3, 0.15, 0.05])
    logits = np.log(p).tolist()
    noise = np.array(page.evaluate(f"{kind}(5, {count}, 4)"))
    drawn = (noise + logits).argmax(-1)
    rates = np.bincount(drawn, minlength=4) / count
    error = np.sqrt(p * (1 - p) / count)
    assert (abs(rates - p) < 5 * error).all()
    deviation = np.pi / np.sqrt(6 * count)
    assert (abs(noise.mean(0) - np.euler_gamma) < 5 * deviation).all()
    assert abs(np.corrcoef(noise.T) - np.eye(4)).max() < 5 / np.sqrt(count)
    if kind == "evenGumbelNoise":
        assert (abs(rates - p) < 0.5 * error).all()


def test_noise_belongs_to_its_seed(page):
    draws = [call(page, "gumbelNoise", seed, 50, 3) for seed in (1, 1, 2)]
    assert draws[0] == draws[1]
    assert not set(np.ravel(draws[0])) & set(np.ravel(draws[2]))


@pytest.mark.parametrize("value", [0.01, 0.3, 0.95])
def test_a_moved_probability_leaves_a_distribution(page, value):
    start = [0.5, 0.3, 0.2]
    moved = call(page, "withProbability", start, 1, value)
    assert moved[1] == value
    assert sum(moved) == pytest.approx(1)
    if value < 0.9:
        assert moved[0] / moved[2] == pytest.approx(0.5 / 0.2)
    cornered = call(page, "withProbability", [0.94, 0.05, 0.01], 1, 0.95)
    assert min(cornered) > 0 and sum(cornered) == pytest.approx(1)


@pytest.mark.slow
def test_curves_are_those_of_the_estimators(page, count=50_000):
    """Bias and variance that the page shows, against the package's draws."""
    logits = tf.math.log(tf.constant([[0.5, 0.3, 0.2]] * count))
    for name in ("gumbel_softmax", "st_gumbel", "gumbel_rao"):
        estimator = tg.estimators.get(name, temperature=0.5)

        @tf.function
        def draw(logits, estimator=estimator):
            with tf.GradientTape() as tape:
                tape.watch(logits)
                value = estimator(cost_fn("wave", 3), logits, [3, 4])
            return tape.gradient(value, logits)

        rows = draw(logits).numpy().astype("float64")
        square = np.sum((rows - rows.mean(0)) ** 2, axis=1)
        make_problem(page, "wave", [0.5, 0.3, 0.2])
        actual = page.evaluate(
            "allMoments(problem, perturb(problem, "
            f"evenGumbelNoise(1, 20000, 3)), 0.5)['{name}']"
        )
        error = rows.std(0) / np.sqrt(count)
        assert (abs(rows.mean(0) - actual["mean"]) < 5 * error).all()
        error = square.std() / np.sqrt(count)
        assert abs(square.mean() - actual["variance"]) < 5 * error
