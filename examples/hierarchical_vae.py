"""A VAE of two layers, whose priors are learned along with it.

A code z1 is decoded into a digit, and a smaller code z2 says which z1 to
expect: the prior of z1 is no fixed Gaussian but one that a network makes of
z2. Nor need the prior of z2 be fixed: each class y of digits may have a
Gaussian of its own, which trains. One layer does both, `GaussianKL`: called on
a pair `[q, p]`, it adds KL(q ‖ p) to the loss, and p learns as q does. In nats
per image,

    -ELBO = E_q[-log p(x|z1)] + E_q KL(q(z1|x,z2) ‖ p(z1|z2))
            + KL(q(z2|x,y) ‖ p(z2|y)).

- `fixed`: both priors are N(0, I), and z2 of no use;
- `hierarchy`: z2 ~ N(0, I) and p(z1|z2);
- `classes`: z2 ~ p(z2|y), a Gaussian for each class;
- `free_bits`: the same, where each variable of z2 has some nats for free in
  training, so that it is not switched off before z1 has learned to need it.

The table shows how many nats each layer of the code carries for a test image,
and the bound of log p(x), or of log p(x|y) where classes are given (higher by
at most log 10 = 2.3 nats for that), of `LogMarginalLikelihood` with m samples.
The picture shows both divergences over the training, and digits drawn from the
priors: z2, then z1, then x. With classes each column is one.

Data treatment: pixels are binarised at one half.

    python examples/hierarchical_vae.py --out hierarchy-out

Reference:
    Sønderby, Raiko, Maaløe, Sønderby, Winther. Ladder variational
    autoencoders. NeurIPS 2016.
    Kingma et al. Improving variational inference with inverse autoregressive
    flow. NeurIPS 2016. (Free bits.)
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

PIXELS, CLASSES = 64, 10
ROWS = 2  # of digits that are drawn
RUNS = ("fixed", "hierarchy", "classes", "free_bits")
GAUSSIAN = tg.distributions.Gaussian()


class Data(NamedTuple):
    """Binary pixels `[N, 64]`, and classes `[N]`."""

    x: np.ndarray
    y: np.ndarray


class Score(NamedTuple):
    """Of the test images, in nats."""

    bound: float
    error: float  # of the bound
    upper: float  # KL of z2
    lower: float  # KL of z1


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Trains each model; returns the scores."""
    args = parse(argv)
    train, test = load_data()
    args.out.mkdir(parents=True, exist_ok=True)
    print(
        f"{'model':12}{'test bound':>12}{'±':>7}"
        f"{'KL of z2':>11}{'KL of z1':>11}{'seconds':>9}"
    )
    scores, histories, drawn = {}, {}, {}
    for name in args.runs:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        vae = VAE(args, name)
        histories[name] = fit(vae, train, test, args)
        seconds = time.process_time() - start
        scores[name] = score = evaluate(vae, test, args.test_samples)
        drawn[name] = vae.generate(np.arange(CLASSES), ROWS)
        print(
            f"{name:12}{score.bound:>12.2f}{score.error:>7.2f}"
            f"{score.upper:>11.2f}{score.lower:>11.2f}{seconds:>9.0f}",
            flush=True,
        )
    plot(args.out / "hierarchy.png", histories, drawn)
    print(f"Wrote {args.out / 'hierarchy.png'}")
    return scores


def load_data() -> tuple[Data, Data]:
    """Digits to train on, and 300 for the test."""
    digits = load_digits()
    pixels = (digits.data >= 8).astype("float32")
    order = np.random.default_rng(0).permutation(len(pixels))
    train, test = order[300:], order[:300]
    return (
        Data(pixels[train], digits.target[train]),
        Data(pixels[test], digits.target[test]),
    )


# Model --------------------------------------------------------------------


class VAE(keras.Model):
    """From images and classes to the log-odds of pixels, by way of a code.

    Args:
        args: The options of the command line.
        name: Which of `RUNS`.
    """

    def __init__(self, args: argparse.Namespace, name: str) -> None:
        super().__init__()
        self.layered = name != "fixed"
        self.classes = name in ("classes", "free_bits")
        upper, lower = args.variables
        self.q_upper = network(args.hidden, 2 * upper)
        self.q_lower = network(args.hidden, 2 * lower)
        self.p_lower = network(args.hidden, 2 * lower)
        self.p_pixels = network(args.hidden, PIXELS)
        # N(0, I) for every class, to begin with.
        self.p_upper = keras.layers.Embedding(
            CLASSES, 2 * upper, embeddings_initializer="zeros"
        )
        self.kl_upper = tg.GaussianKL(
            free_bits=args.free_bits if name == "free_bits" else 0.0,
            name="kl_upper",
        )
        self.kl_lower = tg.GaussianKL(name="kl_lower")
        # "sample": `evaluate` draws, as a bound requires.
        self.sample_upper = tg.ReparamGaussian(inference="sample")
        self.sample_lower = tg.ReparamGaussian(inference="sample")

    def upper(self, x, y):
        """The parameters of q(z2|x,y) and of p(z2|y)."""
        classes = ops.one_hot(y, CLASSES) * float(self.classes)
        q = self.q_upper(ops.concatenate([x, classes], axis=-1))
        return pair(q), self.prior(y)

    def prior(self, y):
        """The parameters of p(z2|y), which is N(0, I) without classes."""
        return pair(self.p_upper(y) * float(self.classes))

    def lower(self, x, z2):
        """The parameters of q(z1|x,z2) and of p(z1|z2)."""
        q = self.q_lower(ops.concatenate([x, z2], axis=-1))
        return pair(q), pair(self.p_lower(z2) * float(self.layered))

    def call(self, inputs):
        """Adds the divergences to the loss, and decodes a sample of z1."""
        x, y = inputs
        z2 = self.sample_upper(self.kl_upper([*self.upper(x, y)]))
        z1 = self.sample_lower(self.kl_lower([*self.lower(x, z2)]))
        return self.p_pixels(z1)

    def negative_log_weight(self, x, y):
        """-log w = log q(z1,z2|x,y) - log p(x,z1,z2|y) at one sample."""
        q, p = self.upper(x, y)
        z2 = self.sample_upper(q)
        surplus = log_prob(q, z2) - log_prob(p, z2)
        q, p = self.lower(x, z2)
        z1 = self.sample_lower(q)
        surplus += log_prob(q, z1) - log_prob(p, z1)
        return surplus + cross_entropy(x, self.p_pixels(z1))

    def generate(self, y: np.ndarray, rows: int) -> np.ndarray:
        """Means of pixels `[rows, len(y), 64]`, from samples of the priors."""
        z2 = self.sample_upper(self.prior(np.tile(y, rows)))
        _, p = self.lower(np.zeros((len(z2), PIXELS)), z2)
        pixels = ops.sigmoid(self.p_pixels(self.sample_lower(p)))
        return np.reshape(pixels, (rows, len(y), PIXELS))


def network(hidden: int, units: int) -> keras.Sequential:
    layers = keras.layers
    return keras.Sequential(
        [layers.Dense(hidden, activation="relu"), layers.Dense(units)]
    )


def pair(parameters):
    """Means and log-variances, which a network returns side by side."""
    return tuple(ops.split(parameters, 2, axis=-1))


def log_prob(parameters, z):
    """Of Gaussian variables, one number per image."""
    return GAUSSIAN.log_prob(GAUSSIAN.constrain(parameters), z)


def cross_entropy(x, logits):
    """-log p(x|z1) per image."""
    return ops.sum(ops.softplus(logits) - x * logits, axis=-1)


def fit(
    vae: VAE, train: Data, test: Data, args: argparse.Namespace
) -> dict[str, list[float]]:
    """Trains; returns what Keras logs after each epoch."""
    vae.compile(keras.optimizers.Adam(args.learning_rate), cross_entropy)
    return vae.fit(
        tuple(train),
        train.x,
        batch_size=50,
        epochs=args.epochs,
        validation_data=(tuple(test), test.x),
        verbose=args.verbose,
    ).history


def evaluate(vae: VAE, test: Data, samples: int) -> Score:
    """The bound of so many samples, and what each layer carries."""
    metric = tg.LogMarginalLikelihood(
        lambda x, y: vae.negative_log_weight(x, y), samples
    )
    metric.update_state(test.x, test.y)
    upper = vae.upper(test.x, test.y)
    lower = vae.lower(test.x, vae.sample_upper(upper[0]))
    carried = [
        float(np.mean(np.sum(kl.divergence([*parameters]), axis=-1)))
        for kl, parameters in ((vae.kl_upper, upper), (vae.kl_lower, lower))
    ]
    return Score(float(metric.result()), metric.standard_error(), *carried)


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    histories: dict[str, dict[str, list[float]]],
    drawn: dict[str, np.ndarray],
) -> None:
    """The divergence of each layer after each epoch; digits of the priors."""
    figure = plt.figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subfigures(1, 2)
    axes = left.subplots(2, 1, sharex=True)
    for axis, layer in zip(axes, ("upper", "lower"), strict=True):
        for name, history in histories.items():
            axis.plot(history[f"val_kl_{layer}"], label=name)
    axes[0].set(ylabel="KL of z2, nats")
    axes[0].legend(fontsize=8)
    axes[1].set(ylabel="KL of z1, nats", xlabel="epoch")
    strips = right.subplots(len(drawn), 1, squeeze=False)[:, 0]
    for axis, (name, digits) in zip(strips, drawn.items(), strict=True):
        # A frame around each digit.
        digits = digits.reshape(*digits.shape[:2], 8, 8)
        framed = np.pad(
            digits, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=0.5
        )
        rows, columns, height, width = framed.shape
        picture = framed.transpose(0, 2, 1, 3)
        picture = picture.reshape(rows * height, columns * width)
        axis.imshow(picture, "gray", vmin=0, vmax=1)
        axis.set_title(f"{name}: drawn from the priors", fontsize=9)
        axis.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=100)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A VAE of two layers with learned priors, on 8x8 digits.",
        out="hierarchy-out",
        verbose=0,
    )
    add = parser.add_argument
    help = "models to train"
    add("--runs", nargs="+", choices=RUNS, default=list(RUNS), help=help)
    add(
        "--variables",
        nargs=2,
        type=integer(),
        default=[4, 10],
        help="Gaussian variables of z2 and of z1",
    )
    add("--hidden", type=integer(), default=128, help="units of a hidden layer")
    help = "nats that each variable of z2 has for free, in free_bits"
    add("--free-bits", type=positive, default=0.5, help=help)
    add("--epochs", type=integer(), default=100, help="passes over the data")
    add("--learning-rate", type=positive, default=2e-3, help="of Adam")
    help = "m, samples for each test image in the bound"
    add("--test-samples", type=integer(), default=500, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
