"""Which six pixels made the classifier say so?

A classifier f names digits of 8x8 pixels, and shall be explained: for each
image, by the k pixels that its answer can be told from. An explainer, a second
network, gives logits over the pixels; a `SubsetSampler` draws exactly k of
them; a third network is shown nothing but those, and has to say what f says of
the whole image. Explainer and reader are trained together, to raise

    E_z[Σ_c f_c(x) log reader_c(x ∘ z)],

a lower bound of what x ∘ z tells of f's answer, up to a constant (L2X). The
subsets are drawn

- `subset`: from the conditional Bernoulli distribution, exactly, with the
  gradient of its marginals;
- `top_k`: as the k largest of logits plus Gumbel noise (Plackett-Luce), with
  the gradient of a relaxation at temperature τ;

and are the most likely ones when training is over. Next to them stand pixels
that need no training, `gradient`, the k largest of |x_i ∂ log f/∂x_i|, and
`random` ones, each with a reader of its own.

The table has the share of test images for which the reader says what f says,
and what f itself says when it is shown the k pixels alone. The first can be
deceived, for an explainer may hide the answer in its choice; the second cannot,
but asks f about images such as it has never seen.

    python examples/explain.py --out explain-out --k 6

Reference:
    Chen, Song, Wainwright, Jordan. Learning to explain: an
    information-theoretic perspective on model interpretation. ICML 2018.
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
import tensorflow as tf
from _arguments import Parser, integer, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PIXELS = 64
# How subsets are drawn from logits.
WAYS = {
    "subset": lambda k, tau: tg.SubsetSampler(k),
    "top_k": lambda k, tau: tg.SubsetSampler(
        k, "plackett_luce", temperature=tau
    ),
    "gradient": lambda k, tau: Mode(k),
    "random": lambda k, tau: tg.SubsetSampler(k, inference="sample"),
}
LEARNED = ("subset", "top_k")


class Data(NamedTuple):
    """Pixels in rows, grey levels in [0, 1], and digits."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Score(NamedTuple):
    """Shares of the test images in which the answer is that of f."""

    reader: float
    itself: float


class Mode(keras.layers.Layer):
    """The most likely k, in training too."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k

    def call(self, logits):
        return tg.ops.subset_mode(logits, k=self.k)


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Explains in every way; returns the scores."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    data = load_data()
    f = make_classifier(data, args)
    answers = np.argmax(f.predict(data.x_test, verbose=0), axis=-1)
    right = np.mean(answers == data.y_test)
    print(f"The classifier is right in {right:.1%} of the test.")
    print(f"\n{args.k} pixels by{'reader':>10}{'f itself':>10}{'seconds':>9}")
    scores, chosen = {}, {}
    for way in args.ways:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        chooser, reader = explain(f, way, data, args)
        seconds = time.process_time() - start
        chosen[way] = chooser.predict(inputs(f, data.x_test), verbose=0)
        seen = data.x_test * chosen[way]
        scores[way] = Score(
            agreement(reader, seen, answers), agreement(f, seen, answers)
        )
        told, itself = scores[way]
        print(f"{way:12}{told:>8.3f}{itself:>10.3f}{seconds:>9.0f}", flush=True)
    plot(args.out / "explained.png", data.x_test, answers, chosen)
    print(f"Wrote {args.out / 'explained.png'}")
    return scores


def load_data() -> Data:
    """Training digits, and 300 for the test."""
    bunch = load_digits()
    order = np.random.default_rng(0).permutation(len(bunch.data))
    test, train = order[:300], order[300:]
    x = bunch.data.astype("float32") / 16.0
    return Data(x[train], bunch.target[train], x[test], bunch.target[test])


# Models -------------------------------------------------------------------


def perceptron(hidden: int, outputs: int, **options) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((PIXELS,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(outputs, **options),
        ]
    )


def make_classifier(data: Data, args: argparse.Namespace) -> keras.Model:
    """f, trained and then left alone; its outputs are probabilities."""
    f = perceptron(args.hidden, 10, activation="softmax")
    f.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    f.fit(data.x_train, data.y_train, epochs=30, verbose=args.verbose)
    f.trainable = False
    return f


def inputs(f: keras.Model, x: np.ndarray) -> list[np.ndarray]:
    """The images, and how much each pixel acts on f's answer."""
    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        answer = tf.reduce_max(tf.math.log(f(images)), axis=-1)
    slope = tape.gradient(answer, images)
    return [x, np.abs(x * slope.numpy())]


def explain(
    f: keras.Model, way: str, data: Data, args: argparse.Namespace
) -> tuple[keras.Model, keras.Model]:
    """Two models: pixels chosen for an image, and the reader of them."""
    x, slope = keras.Input((PIXELS,)), keras.Input((PIXELS,))
    logits = {"gradient": slope, "random": 0.0 * slope}.get(way)
    if way in LEARNED:
        logits = perceptron(args.hidden, PIXELS)(x)
    z = WAYS[way](args.k, args.temperature)(logits)
    reader = perceptron(args.hidden, 10)
    model = keras.Model([x, slope], reader(x * z))
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    model.fit(
        inputs(f, data.x_train),
        f.predict(data.x_train, verbose=0),
        batch_size=50,
        epochs=args.epochs,
        verbose=args.verbose,
    )
    return keras.Model([x, slope], z), reader


def agreement(model: keras.Model, x: np.ndarray, answers: np.ndarray) -> float:
    """The share of images that are given the same answers."""
    found = np.argmax(model.predict(x, verbose=0), axis=-1)
    return float(np.mean(found == answers))


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    x: np.ndarray,
    answers: np.ndarray,
    chosen: dict[str, np.ndarray],
) -> None:
    """An image of each digit, and the pixels that explain it."""
    shown = [np.flatnonzero(answers == digit)[0] for digit in range(10)]
    figure, axes = plt.subplots(
        len(chosen),
        len(shown),
        figsize=(10, 1.1 * len(chosen) + 0.3),
        layout="constrained",
        squeeze=False,
    )
    for line, (way, z) in zip(axes, chosen.items(), strict=True):
        for axis, i in zip(line, shown, strict=True):
            axis.imshow(x[i].reshape(8, 8), "gray", vmin=0, vmax=1)
            rows, columns = np.nonzero(z[i].reshape(8, 8))
            axis.plot(columns, rows, "s", mfc="none", mec="tab:red", ms=6)
            axis.set(xticks=[], yticks=[])
        line[0].set_ylabel(way)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Explaining a classifier of digits by k pixels.",
        out="explain-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=list(WAYS),
        help="to choose pixels",
    )
    help = "pixels of an explanation"
    add("--k", type=integer(1, PIXELS), default=6, help=help)
    add("--hidden", type=integer(), default=128, help="units of a layer")
    add("--epochs", type=integer(), default=100, help="passes over the data")
    add("--learning-rate", type=positive, default=1e-3, help="of Adam")
    help = "τ of the relaxed top k"
    add("--temperature", type=positive, default=0.5, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
