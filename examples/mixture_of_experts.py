"""Ten narrow experts, one of which draws each digit.

An expert compresses an image to three numbers and decompresses it, both
linearly: three principal components, at best. One of them for all digits is
poor. A gate looks at the image and gives logits over E = 10 experts. A soft
mixture asks all of them, and averages their drawings with the gate's
probabilities. Hard routing asks one: a one-hot sample of the gate, in training
as in service, so that only one expert has to be computed, and each may become
a specialist. The gradient has to reach the gate through that choice, by
`StraightThroughCategorical` (in the form of ReinMax or of Gumbel) or, by the
score function, `ReinforceSampler`.

The fear with hard routing is collapse: an expert that is better by chance is
asked more, learns more, and soon answers all. `tg.metrics.CodeUsage` and
`tg.metrics.CodePerplexity` watch for it during `fit`: the share of the experts
that are in use at all, and the exponential of the entropy of their average
use, between 1 and E. Two losses help.
`CategoricalKL`, the divergence of the gate from even odds for each image, has a
weight that falls to 0 half-way: first try everyone, then choose. It does not
always help: alone, ReinMax routes all but a few images to two experts, and the
perplexity says so. `CodeUsageLoss` looks at the average over a batch instead,
so that each image may be sure of its expert while all are asked alike, and
stays to the end: `--balance load_balance` is that of Switch transformers,
`--balance none` leaves it out.

The figure of merit is the squared error of test images, as a share of their
variance. With hard routing an image is three numbers and the name of an expert,
and costs what one expert costs; the soft mixture has a lower error, at ten
times the cost, since thirty numbers pass through it. The picture shows who
draws what; no one told the gate the digits.

    python examples/mixture_of_experts.py --out experts-out

Reference:
    Jacobs, Jordan, Nowlan, Hinton. Adaptive mixtures of local experts. Neural
    Computation 1991. Shazeer et al. Outrageously large neural networks: the
    sparsely-gated mixture-of-experts layer. ICLR 2017.
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
from _arguments import Parser, integer, number, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class Digits(NamedTuple):
    """Pixels `[N, 64]`, grey levels in [0, 1], and their digits `[N]`."""

    pixels: np.ndarray
    labels: np.ndarray


class Score(NamedTuple):
    """On the test digits; the error is a share of their variance."""

    error: float
    usage: float
    perplexity: float


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Trains with each gate; returns the test scores."""
    args = parse(argv)
    train, test = load_data()
    args.out.mkdir(parents=True, exist_ok=True)
    scores, routes = {}, {}
    print(
        f"{'gate':12}{'test error':>12}{'asked':>7}"
        f"{'in use':>8}{'perplexity':>12}{'seconds':>9}"
    )
    for name in args.gates:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        model = make_model(name, args)
        fit(model, train, args)
        seconds = time.process_time() - start
        scores[name] = score = evaluate(model, test)
        asked = args.experts if name == "soft" else 1
        print(
            f"{name:12}{score.error:>12.1%}{asked:>7}"
            f"{score.usage:>8.0%}{score.perplexity:>12.2f}{seconds:>9.0f}"
        )
        routes[name] = model.predict(test.pixels, verbose=0)["expert"]
    hard = [name for name in routes if name != "soft"]
    best = min(hard or routes, key=lambda name: scores[name].error)
    plot(args.out / "experts.png", best, routes[best], test)
    print(f"Wrote {args.out / 'experts.png'}")
    return scores


def load_data() -> tuple[Digits, Digits]:
    """Training digits, and 300 for the test."""
    digits = load_digits()
    pixels = digits.data.astype("float32") / 16.0
    order = np.random.default_rng(0).permutation(len(pixels))
    train, test = (
        Digits(pixels[part], digits.target[part])
        for part in (order[300:], order[:300])
    )
    return train, test


# Model --------------------------------------------------------------------


def soft(logits, pixels):
    return keras.layers.Softmax()(logits)


def one_expert(logits, pixels):
    first = np.eye(logits.shape[-1], dtype="float32")[0]
    return keras.layers.Softmax()(0.0 * logits + 1e4 * first)


def reinmax(logits, pixels):
    return tg.StraightThroughCategorical("reinmax")(logits)


def st_gumbel(logits, pixels):
    return tg.StraightThroughCategorical("st_gumbel")(logits)


def reinforce(logits, pixels):
    return tg.ReinforceSampler()(logits, context=pixels)


GATES = {
    "one expert": one_expert,
    "soft": soft,
    "reinmax": reinmax,
    "st_gumbel": st_gumbel,
    "reinforce": reinforce,
}


def make_model(name: str, args: argparse.Namespace) -> keras.Model:
    """From pixels to their reconstruction and the weights of the experts."""
    pixels = keras.Input((64,))
    hidden = keras.layers.Dense(args.hidden, activation="relu")(pixels)
    logits = keras.layers.Dense(args.experts)(hidden)
    logits = tg.CategoricalKL(name="kl")(logits)
    if args.balance != "none":
        logits = tg.CodeUsageLoss(
            args.balance, weight=args.balance_weight, name="balance"
        )(logits)
    weights = GATES[name](logits, pixels)

    narrow = keras.layers.Dense(args.experts * args.units)(pixels)
    narrow = keras.layers.Reshape((args.experts, args.units))(narrow)
    wide = keras.layers.EinsumDense(
        "beu,eup->bep", (args.experts, 64), bias_axes="ep"
    )
    drawing = keras.ops.sum(weights[:, :, None] * wide(narrow), axis=1)
    # `StochasticModel` is for `reinforce`; the others do not mind.
    return tg.StochasticModel(pixels, {"drawing": drawing, "expert": weights})


def fit(model: keras.Model, train: Digits, args: argparse.Namespace) -> None:
    """Trains; the weight of the divergence falls to 0 half-way."""
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        loss={"drawing": keras.losses.MeanSquaredError()},
        # Keras averages over pixels; this is the squared error of an image.
        loss_weights={"drawing": 64.0},
        metrics={
            "drawing": ["mean_squared_error"],
            "expert": [
                # Probabilities are never quite 0: a tenth of an even share.
                tg.metrics.CodeUsage(threshold=0.1 / args.experts),
                tg.metrics.CodePerplexity(),
            ],
        },
    )
    half = args.epochs * -(-len(train.labels) // 50) / 2
    spread = tg.TemperatureScheduler(
        lambda step: args.spread * max(0.0, 1.0 - step / half),
        layers="kl",
        attribute="weight",
    )
    model.fit(
        train.pixels,
        targets(train.pixels),
        batch_size=50,
        epochs=args.epochs,
        callbacks=[spread],
        verbose=args.verbose,
    )


def targets(pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics of the expert look at no target, but Keras wants one."""
    return {"drawing": pixels, "expert": np.zeros(len(pixels))}


def evaluate(model: keras.Model, test: Digits) -> Score:
    """With the most likely expert: the samplers' `inference="mode"`."""
    logs = model.evaluate(
        test.pixels,
        targets(test.pixels),
        batch_size=300,
        return_dict=True,
        verbose=0,
    )
    variance = np.mean(np.var(test.pixels, axis=0))
    return Score(
        float(logs["drawing_mean_squared_error"] / variance),
        logs["expert_code_usage"],
        logs["expert_code_perplexity"],
    )


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path, name: str, routes: np.ndarray, test: Digits
) -> None:
    """How many of each digit go to each expert; some of the images."""
    experts = routes.shape[-1]
    chosen = np.argmax(routes, axis=-1)
    counts = np.zeros((10, experts), int)
    np.add.at(counts, (test.labels, chosen), 1)

    figure = plt.figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1))
    axis = left.subplots()
    axis.imshow(counts, "Blues")
    for digit, expert in np.argwhere(counts):
        dark = counts[digit, expert] > counts.max() / 2
        axis.text(
            expert,
            digit,
            counts[digit, expert],
            ha="center",
            va="center",
            fontsize=8,
            color="white" if dark else "black",
        )
    axis.set_xticks(range(experts), range(1, experts + 1))
    axis.set_yticks(range(10))
    axis.set(
        xlabel="expert", ylabel="digit", title=f"test images by expert ({name})"
    )

    right.suptitle("what each expert is asked", fontsize=10)
    grid = right.subplots(experts, 10)
    for expert, line in enumerate(grid):
        images = test.pixels[chosen == expert][: len(line)]
        for axis in line:
            axis.axis("off")
        for axis, image in zip(line, images, strict=False):
            axis.imshow(image.reshape(8, 8), "gray_r", vmin=0, vmax=1)
        line[0].text(
            -0.6, 0.5, expert + 1, transform=line[0].transAxes, va="center"
        )
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Hard routing to narrow linear experts on 8x8 digits.",
        out="experts-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--gates",
        nargs="+",
        choices=GATES,
        default=list(GATES),
        help="how experts are chosen; the picture is of the best hard one",
    )
    add("--experts", type=integer(2, 64), default=10, help="E, how many")
    add("--units", type=integer(), default=3, help="numbers of an expert")
    help = "units of the gate's hidden layer"
    add("--hidden", type=integer(), default=64, help=help)
    help = "weight of the divergence from even odds at the start"
    add("--spread", type=number(), default=0.5, help=help)
    help = "kind of the loss that keeps experts in use, or none"
    kinds = ("none", "diversity", "entropy", "load_balance")
    add("--balance", choices=kinds, default="diversity", help=help)
    help = "weight of that loss"
    add("--balance-weight", type=number(), default=1.0, help=help)
    add("--epochs", type=integer(), default=60, help="passes over the data")
    add("--learning-rate", type=positive, default=1e-2, help="of Adam")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
