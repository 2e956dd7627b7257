"""A digit explained twice: two layers of Bernoulli variables.

A sigmoid belief network draws variables h2 by tossing coins, from them the
variables h1, and from those the pixels of a digit; each step is linear, and so
are those of q, which goes the other way, from pixels to h1 and from h1 to h2.
Training descends, in nats per image,

    E_q[-log p(x|h1) - H(q(h1|x)) + KL(q(h2|h1) ‖ p)] + E_q[-log p(h1|h2)],

and the gradient of q has to come through the draws of both layers:

- `nvil`: the score function, with learned baselines. Both layers are credited
  with the whole bound;
- `nvil_local`: the same with `credit="local"`. h2 has no part in the first
  expectation, which for it is noise, and so is not credited with it (the local
  signals of Mnih and Gregor). h1 has a part in both: its credit stays as it is;
- `rloo`: two samples of h1, and for each of them two of h2, are compared with
  each other. The `ExpectedCost` of h2 is part of the cost of h1;
- `reinmax`: through the samples. It needs derivatives, and is biased.

The table has the bound of the test images and, for each layer of q, the
variance of its gradient at the end of the run, measured by the callback
`GradientStatistics` on one batch; the picture shows the variances epoch by
epoch.

    python examples/belief_network.py --out belief-out

Reference:
    Mnih, Gregor. Neural variational inference and learning in belief networks.
    ICML 2014.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from keras import ops
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PIXELS = 64
# How both layers are drawn; `None` for two nested expectations.
SAMPLERS = {
    "nvil": lambda: tg.ReinforceSampler("bernoulli", inference="sample"),
    "nvil_local": lambda: tg.ReinforceSampler(
        "bernoulli", credit="local", inference="sample"
    ),
    "rloo": None,
    "reinmax": lambda: tg.StraightThroughBernoulli(
        "reinmax", inference="sample"
    ),
}


class Score(NamedTuple):
    """The bound of the test images; variances of q's layers in training."""

    bound: float
    lower: float
    upper: float


class Network(NamedTuple):
    """The weights. What is called q goes up, what is called p down."""

    q_lower: keras.layers.Dense
    q_upper: keras.layers.Dense
    p_lower: keras.layers.Dense
    p_pixels: keras.layers.Dense


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Trains with each estimator; returns the scores."""
    args = parse(argv)
    train, test = load_images()
    args.out.mkdir(parents=True, exist_ok=True)
    scores, histories = {}, {}
    print(
        f"{'':12}{'test':>9}{'gradient variance':>22}\n{'estimator':12}"
        f"{'-ELBO':>9}{'q(h1|x)':>11}{'q(h2|h1)':>11}{'seconds':>9}"
    )
    for name in args.estimators:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        network = make_network(args)
        model = make_bound(network, name)
        history = fit(model, train, test, args)
        seconds = time.process_time() - start
        scores[name] = Score(
            test_bound(model, test, args.samples),
            history["gradient_variance/q_lower"][-1],
            history["gradient_variance/q_upper"][-1],
        )
        histories[name] = history
        bound, lower, upper = scores[name]
        print(
            f"{name:12}{bound:>9.2f}{lower:>11.3g}{upper:>11.3g}"
            f"{seconds:>9.0f}",
            flush=True,
        )
    plot(args.out / "belief.png", histories, network, test)
    print(f"Wrote {args.out / 'belief.png'}")
    return scores


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Binary pixels `[N, 64]`: to train, and 300 for the test."""
    pixels = (load_digits().data >= 8).astype("float32")
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order[300:]], pixels[order[:300]]


# Model --------------------------------------------------------------------


def make_network(args: argparse.Namespace) -> Network:
    """A linear layer for each step."""
    lower, upper = args.variables
    sizes = {
        "q_lower": (PIXELS, lower),
        "q_upper": (lower, upper),
        "p_lower": (upper, lower),
        "p_pixels": (lower, PIXELS),
    }
    layers = {}
    for name, (inputs, units) in sizes.items():
        layers[name] = keras.layers.Dense(units, name=name)
        layers[name].build((None, inputs))
    return Network(**layers)


def surprise(values, logits):
    """-log p of Bernoulli variables with these log-odds, per example."""
    return ops.sum(ops.softplus(logits) - values * logits, axis=-1)


def negative_entropy(logits):
    """-H of Bernoulli variables, per example."""
    return ops.sum(ops.sigmoid(logits) * logits - ops.softplus(logits), -1)


def of_h1(network: Network, x, lower_logits, h1, upper_logits):
    """The terms in which h2 has no part."""
    divergence = negative_entropy(upper_logits)
    divergence += upper_logits.shape[-1] * np.log(2.0)
    pixels = surprise(x, network.p_pixels(h1))
    return pixels + negative_entropy(lower_logits) + divergence


def make_bound(network: Network, name: str) -> keras.Model:
    """From pixels to the bound of each image, in one or two terms."""
    if SAMPLERS[name] is None:
        return nested(network)
    x = keras.Input((PIXELS,))
    lower_logits = network.q_lower(x)
    h1 = draw(SAMPLERS[name](), lower_logits, x)
    upper_logits = network.q_upper(h1)
    h2 = draw(SAMPLERS[name](), upper_logits, h1)
    outputs = {
        "of_h1": of_h1(network, x, lower_logits, h1, upper_logits),
        "of_both": surprise(h1, network.p_lower(h2)),
    }
    return tg.StochasticModel(x, outputs)


def draw(sampler, logits, context):
    """The score function's baseline is told where the draw came from."""
    if isinstance(sampler, tg.ReinforceSampler):
        return sampler(logits, context)
    return sampler(logits)


def nested(network: Network) -> keras.Model:
    """The expectation over h2 is a part of the cost of h1."""
    x, lower_logits, h1, h2 = (
        keras.Input((layer.kernel.shape[axis],))
        for layer, axis in (
            (network.q_lower, 0),
            (network.q_lower, 1),
            (network.q_upper, 0),
            (network.q_upper, 1),
        )
    )
    cost = keras.Model([h2, h1], surprise(h1, network.p_lower(h2)))
    upper_logits = network.q_upper(h1)
    of_both = expectation(cost)(upper_logits, h1)
    total = of_both + of_h1(network, x, lower_logits, h1, upper_logits)
    cost = keras.Model([h1, x, lower_logits], total)
    lower_logits = network.q_lower(x)
    return keras.Model(x, expectation(cost)(lower_logits, x, lower_logits))


def expectation(cost: keras.Model) -> tg.ExpectedCost:
    return tg.ExpectedCost(cost, "rloo", distribution="bernoulli")


def fit(
    model: keras.Model,
    train: np.ndarray,
    test: np.ndarray,
    args: argparse.Namespace,
) -> dict[str, list[float]]:
    """Trains; returns test bounds and variances of each epoch."""
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        loss=keras.tree.map_structure(
            lambda _: tg.losses.MeanCost(), model.output
        ),
    )
    statistics = tg.GradientStatistics(
        ["q_lower", "q_upper"],
        every=None,
        data=(train[:50], targets(model, 50)),
        samples=args.gradients,
    )
    history = model.fit(
        train,
        targets(model, len(train)),
        batch_size=50,
        epochs=args.epochs,
        validation_data=(test, targets(model, len(test))),
        validation_batch_size=len(test),
        callbacks=[statistics],
        verbose=args.verbose,
    )
    return history.history


def targets(model: keras.Model, count: int):
    """Zeros for every output, which `MeanCost` does not look at."""
    return keras.tree.map_structure(lambda _: np.zeros(count), model.output)


def test_bound(model: keras.Model, test: np.ndarray, samples: int) -> float:
    """-ELBO in nats, of exact draws."""
    bounds = [
        keras.tree.flatten(model.predict(test, batch_size=300, verbose=0))
        for _ in range(samples)
    ]
    return float(np.sum(np.mean(bounds, axis=(0, 2))))


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    histories: dict[str, dict[str, list[float]]],
    network: Network,
    test: np.ndarray,
) -> None:
    """Bounds, variances of both layers, and what the last network draws."""
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(2.6, 1))
    titles = {
        "val_loss": "test -ELBO (nats)",
        "gradient_variance/q_lower": "gradient variance, q(h1|x)",
        "gradient_variance/q_upper": "gradient variance, q(h2|h1)",
    }
    axes = above.subplots(1, 3)
    for axis, (key, title) in zip(axes, titles.items(), strict=True):
        for name, history in histories.items():
            epochs = np.arange(1, len(history[key]) + 1)
            axis.plot(epochs, history[key], label=name, lw=1)
        axis.set(xlabel="epoch", title=title)
        if key != "val_loss":
            axis.set_yscale("log")
    bounds = [h["val_loss"] for h in histories.values()]
    last = min(map(min, bounds))
    axes[0].set_ylim(last - 0.5, last + 12)
    axes[0].legend(fontsize=8)
    rows = below.subfigures(1, 2)
    draw_row(rows[0], "test images", test[:8])
    draw_row(rows[1], "drawn by the last network", dream(network, 8))
    figure.savefig(path, dpi=100)
    plt.close(figure)


def dream(network: Network, count: int) -> np.ndarray:
    """Means of pixels, from coins that are tossed for h2."""
    toss = np.random.default_rng(1).random
    h = (toss((count, network.q_upper.units)) < 0.5).astype("float32")
    p = np.array(ops.sigmoid(network.p_lower(h)))
    h = (toss(p.shape) < p).astype("float32")
    return np.array(ops.sigmoid(network.p_pixels(h)))


def draw_row(figure, title: str, images: np.ndarray) -> None:
    figure.suptitle(title, fontsize=9)
    for axis, image in zip(
        figure.subplots(1, len(images)), images, strict=True
    ):
        axis.imshow(image.reshape(8, 8), "gray", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A sigmoid belief network of two layers, on 8x8 digits.",
        out="belief-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--estimators",
        nargs="+",
        choices=SAMPLERS,
        default=list(SAMPLERS),
        help="gradients to train with",
    )
    add(
        "--variables",
        nargs=2,
        type=integer(2),
        default=[100, 50],
        help="Bernoulli variables of h1 and of h2",
    )
    add("--epochs", type=integer(), default=100, help="passes over the data")
    add("--learning-rate", type=positive, default=3e-3, help="of Adam")
    help = "draws for each test image in the bound"
    add("--samples", type=integer(), default=20, help=help)
    help = "gradients from which a variance is estimated"
    add("--gradients", type=integer(2), default=20, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
