"""Bayesian logistic regression with three estimators of one gradient.

Which measurements of a tumour matter, and how sure can one be? A posterior over
31 weights is fitted by three unbiased gradients, and their variances compared.

The case study of Mohamed et al. (2020). Given the D features x of a tumour
(standardised, with a constant one), the odds that it is benign are exp(x·w).
The weights w have the prior N(0, I), and their posterior is approximated by
independent Gaussians q = N(μ, diag σ²) that maximise the evidence lower bound

    ELBO = E_{w~q} Σ_n log p(y_n | x_n, w) - KL(q || prior).

The KL divergence is computed in closed form. The gradient of the expectation in
μ and log σ² is estimated from a minibatch and from a few samples of w:

- `pathwise` differentiates the likelihood through w = μ + σ ε;
- `measure_valued` takes differences of the likelihood between two samples of
  one weight at a time, for each of the 2 D parameters;
- `rloo`, the score function, multiplies the likelihood, less its mean over the
  other samples, by ∇log q(w).

All are unbiased, and all take a cost and the parameters, so that nothing else
changes between them. What differs is variance, and cost: per sample of w the
first and the last evaluate the likelihood once, the measure-valued 1 + 4 D
times.

Along the way the script estimates each gradient many times over, on the first
minibatch, and records its variance, summed over the D coordinates. The bound
itself needs no sample: x·w is Gaussian, so that its expectation is quadrature
in one dimension. Maximising that by L-BFGS gives the best ELBO that
independent Gaussians have.

    python examples/bayesian_logistic_regression.py --out blr-out

Data: scikit-learn's breast cancer data, 569 tumours with 30 features, of which
100 are kept for the test. As in the paper: prior, minibatches of 32, means and
log variances that start at zero; other than there: 10 samples, Adam.

Reference:
    Mohamed, Rosca, Figurnov, Mnih. Monte Carlo gradient estimation in machine
    learning. JMLR 2020.
"""

from __future__ import annotations

import argparse
import csv
import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
import scipy.optimize
import tensorflow as tf
from _arguments import Parser, integer, positive
from sklearn.datasets import load_breast_cancer

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# With their colours in the picture.
ESTIMATORS = {
    "pathwise": "tab:blue",
    "measure_valued": "tab:green",
    "rloo": "tab:red",
}
TRAINING = 469  # tumours; the other 100 are for the test
COLUMNS = ("estimator", "step", "elbo", "variance_mean", "variance_log_var")


class Data(NamedTuple):
    """Features `[N, D]` with a constant one, and labels `[N]`."""

    x: np.ndarray
    y: np.ndarray


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains with each estimator; returns the final ELBO of each."""
    args = parse(argv)
    train, test = load_data()
    best = optimum(train)
    rows = []
    print(f"{'':16}{'evaluations':>12}{'ELBO':>9}{'test accuracy':>15}")
    for name in args.estimators:
        estimator = tg.estimators.get(
            name, distribution="gaussian", samples=args.samples
        )
        posterior, history = fit(estimator, train, args)
        rows += [(name, *row) for row in history]
        print(
            f"{name:16}{estimator.evaluations:12}"
            f"{rows[-1][2]:9.2f}{accuracy(posterior, test):15.1%}"
        )
    print(f"{'optimum':16}{'':12}{best:9.2f}")
    args.out.mkdir(parents=True, exist_ok=True)
    with open(args.out / "history.csv", "w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    plot(args.out / "training.png", rows, best)
    print(f"Wrote {args.out}: " + ", ".join(sorted(os.listdir(args.out))))
    return {name: elbo for name, _, elbo, *_ in rows}


# Data ---------------------------------------------------------------------


def load_data() -> tuple[Data, Data]:
    """Training and test data, standardised by the training data."""
    features, labels = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(features))
    chosen = features[order[-TRAINING:]]
    features = (features - chosen.mean(axis=0)) / chosen.std(axis=0)
    features = np.column_stack([features, np.ones(len(features))])
    x, y = features.astype("float32"), labels.astype("float32")
    test, train = order[:-TRAINING], order[-TRAINING:]
    return Data(x[train], y[train]), Data(x[test], y[test])


# Model --------------------------------------------------------------------


def make_cost(x: tf.Tensor, y: tf.Tensor, number: int) -> Callable:
    """-Σ_n log p(y_n | x_n, w) of all `number` tumours, from a minibatch."""

    def cost(w: tf.Tensor) -> tf.Tensor:
        logits = tf.matmul(w, x, transpose_b=True)
        losses = tf.nn.softplus(logits) - y * logits
        return number * tf.reduce_mean(losses, axis=1)

    return cost


def kl_to_prior(mean: tf.Tensor, log_variance: tf.Tensor) -> tf.Tensor:
    stddev = tg.ops.gaussian_stddev(log_variance)
    return tf.reduce_sum(tg.ops.gaussian_kl(mean, stddev))


def exact_elbo(
    mean: tf.Tensor, log_variance: tf.Tensor, data: Data
) -> tf.Tensor:
    """The bound; x·w is N(x·μ, Σ x² σ²), so that quadrature is enough."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    x, y, nodes, weights = (
        tf.cast(part, mean.dtype) for part in (*data, nodes, weights)
    )
    centre = tf.linalg.matvec(x, mean)
    spread = tf.sqrt(tf.linalg.matvec(tf.square(x), tf.exp(log_variance)))
    softplus = tf.nn.softplus(centre[:, None] + spread[:, None] * nodes)
    softplus = tf.linalg.matvec(softplus, weights) / tf.reduce_sum(weights)
    likelihood = tf.reduce_sum(y * centre - softplus)
    return likelihood - kl_to_prior(mean, log_variance)


def optimum(data: Data) -> float:
    """The largest ELBO of any mean-field Gaussian."""
    start = np.zeros(2 * data.x.shape[1])

    @tf.function
    def loss(parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            mean, log_variance = tf.split(parameters, 2)
            negative = -exact_elbo(mean, log_variance, data)
        return negative, tape.gradient(negative, parameters)

    result = scipy.optimize.minimize(
        lambda x: [part.numpy() for part in loss(tf.constant(x))],
        start,
        jac=True,
        method="L-BFGS-B",
    )
    return -result.fun


def accuracy(posterior: list[keras.Variable], test: Data) -> float:
    """E sigmoid(x·w) exceeds a half where x·μ is positive."""
    benign = test.x @ posterior[0][0].numpy() > 0.0
    return float(np.mean(benign == (test.y > 0.5)))


# Training -----------------------------------------------------------------


def fit(
    estimator: tg.estimators.Estimator, data: Data, args: argparse.Namespace
) -> tuple[list[keras.Variable], list[tuple]]:
    """The posterior's (μ, log σ²), `[1, D]` each, and what was recorded."""
    number, size = data.x.shape
    posterior = [keras.Variable(tf.zeros([1, size])) for _ in range(2)]
    rate = keras.optimizers.schedules.CosineDecay(
        args.learning_rate, args.steps
    )
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(posterior)

    @tf.function
    def step(x: tf.Tensor, y: tf.Tensor, seed: tf.Tensor) -> None:
        mean, log_variance = (part.value for part in posterior)
        with tf.GradientTape() as tape:
            cost = estimator(
                make_cost(x, y, number), (mean, log_variance), seed
            )
            loss = cost[0] + kl_to_prior(mean, log_variance)
        optimizer.apply(tape.gradient(loss, [mean, log_variance]))

    @tf.function
    def variances(seed: tf.Tensor) -> list:
        x, y = (part[: args.batch_size] for part in data)
        # Rows are examples to an estimator: each gets an estimate of its own.
        rows = [tf.repeat(part.value, args.draws, axis=0) for part in posterior]
        with tf.GradientTape() as tape:
            tape.watch(rows)
            cost = estimator(make_cost(x, y, number), tuple(rows), seed)
        return [
            tf.reduce_sum(tf.math.reduce_variance(gradient, axis=0))
            for gradient in tape.gradient(cost, rows)
        ]

    random = np.random.default_rng(args.seed)
    history = []
    for index in range(args.steps + 1):
        chosen = random.choice(number, args.batch_size, replace=False)
        x, y = tf.constant(data.x[chosen]), tf.constant(data.y[chosen])
        seed = tf.constant([args.seed, 2 * index])
        if index % args.every == 0 or index == args.steps:
            mean, log_variance = (part.value[0] for part in posterior)
            elbo = exact_elbo(mean, log_variance, data)
            found = [elbo, *variances(seed + [0, 1])]
            history.append((index, *(float(value) for value in found)))
        if index < args.steps:
            step(x, y, seed)
    return posterior, history


# Picture ------------------------------------------------------------------


def plot(path: pathlib.Path, rows: list[tuple], best: float) -> None:
    """ELBO and gradient variance over steps."""
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    for name in dict.fromkeys(row[0] for row in rows):
        _, steps, *values = zip(
            *(row for row in rows if row[0] == name), strict=True
        )
        for axes, value in zip(panels, values, strict=True):
            axes.plot(steps, value, ESTIMATORS[name], label=name)
    panels[0].axhline(best, color="grey", linestyle=":", label="optimum")
    panels[0].set(title="ELBO (nats)", ylim=(3.0 * best, 0.8 * best))
    panels[0].legend(loc="lower right")
    panels[1].set(title="variance of the gradient in μ", yscale="log")
    panels[2].set(title="variance of the gradient in log σ²", yscale="log")
    for axes in panels:
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Bayesian logistic regression (Mohamed et al. 2020).", out="blr-out"
    )
    add = parser.add_argument
    add(
        "--estimators",
        nargs="+",
        choices=ESTIMATORS,
        default=list(ESTIMATORS),
        help="gradients to train with",
    )
    add("--steps", type=integer(), default=2000, help="steps of Adam")
    add("--samples", type=integer(), default=10, help="samples of w in a step")
    help = "tumours in a step"
    add("--batch-size", type=integer(1, TRAINING), default=32, help=help)
    help = "learning rate of Adam at the start; falls to zero"
    add("--learning-rate", type=positive, default=0.02, help=help)
    add("--every", type=integer(), default=50, help="steps between records")
    help = "estimates that a variance is measured from"
    add("--draws", type=integer(2), default=100, help=help)
    args = parser.parse_args(argv)
    least = tg.estimators.RLOO.least_samples
    if "rloo" in args.estimators and args.samples < least:
        parser.error(f"argument --samples: rloo takes at least {least}")
    return args


if __name__ == "__main__":
    main()
