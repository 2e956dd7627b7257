"""A topic model with a Dirichlet latent, on handwritten digits.

Scikit-learn's 8x8 digits are counts: each of the 64 pixels holds a whole
number from 0 to 16. Read an image as a document and its pixels as words, and
latent Dirichlet allocation (Blei, Ng, Jordan 2003) finds topics: strokes of
which digits are made.

    theta ~ Dirichlet(alpha),   each word ~ theta · topics,

with theta the shares of the T topics and `topics` a table `[T, 64]` whose rows
are distributions over pixels. As in a variational autoencoder, an encoder maps
the counts to the parameters of q(theta | counts), here a Dirichlet again, and
training descends, in nats per image,

    E_{theta ~ q}[-Σ_w counts_w log (theta · topics)_w] + KL(q ‖ p(theta)).

The gradient has to pass through a Dirichlet sample, which no change of
variables of simple noise provides: `ImplicitReparam("dirichlet")` does, by
implicit reparameterisation (Figurnov, Mohamed, Mnih 2018). The KL divergence is
in closed form.

The figure of merit is perplexity per word, exp(bound / number of words): 64
means that nothing was learned, and scikit-learn's own variational LDA, trained
on the same images, stands beside it. Both are upper bounds.

    python examples/dirichlet_topics.py --out topics-out
"""

from __future__ import annotations

import argparse
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from sklearn.datasets import load_digits
from sklearn.decomposition import LatentDirichletAllocation

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(argv: list[str] | None = None) -> float:
    """Trains, compares, draws; returns the perplexity on test images."""
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    train, test = load_counts()
    model = make_model(args)
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        loss=negative_log_likelihood,
    )
    print(f"untrained: {perplexity(model, test, args.samples):.2f} per word")
    model.fit(
        train,
        train,
        batch_size=50,
        epochs=args.epochs,
        verbose=args.verbose,
    )
    found = perplexity(model, test, args.samples)
    print(f"Dirichlet VAE: perplexity {found:.2f} per word on test images")
    lda = LatentDirichletAllocation(
        args.topics,
        doc_topic_prior=args.alpha,
        max_iter=args.lda_iterations,
        random_state=args.seed,
    ).fit(train)
    print(f"scikit-learn's LDA: perplexity {lda.perplexity(test):.2f}")
    draw(args.out / "topics.png", model, test)
    print(f"Wrote {args.out / 'topics.png'}")
    return found


def load_counts() -> tuple[np.ndarray, np.ndarray]:
    """Training and test images as counts, `[N, 64]`."""
    counts = load_digits().data.astype("float32")
    order = np.random.default_rng(0).permutation(len(counts))
    return counts[order[300:]], counts[order[:300]]


class Topics(keras.layers.Layer):
    """Word probabilities of a mixture of topics: theta · softmax(weights)."""

    def __init__(self, words: int, **kwargs) -> None:
        super().__init__(**kwargs)
        self.words = words

    def build(self, theta_shape) -> None:
        self.logits = self.add_weight(
            shape=(theta_shape[-1], self.words), initializer="glorot_normal"
        )

    def call(self, theta):
        return keras.ops.matmul(theta, self.tables())

    def tables(self):
        """The topics, `[T, words]`; each row sums to 1."""
        return keras.ops.softmax(self.logits)


def make_model(args: argparse.Namespace) -> keras.Model:
    """From counts to word probabilities, by way of topic shares."""
    counts = keras.Input((64,))
    hidden = keras.layers.Dense(128, activation="relu")(
        keras.layers.Rescaling(1 / 16)(counts)
    )
    # Softplus of this is the concentration of q(theta | counts).
    raw = keras.layers.Dense(args.topics)(hidden)
    raw = tg.KLDivergence("dirichlet", prior=(args.alpha,))(raw)
    # inference="sample": the bound wants samples at evaluation, too.
    theta = tg.ImplicitReparam("dirichlet", inference="sample", name="theta")
    words = Topics(64, name="topics")(theta(raw))
    return keras.Model(counts, words)


def negative_log_likelihood(counts, probabilities):
    """-Σ_w counts_w log p_w, in nats per image."""
    return -keras.ops.sum(counts * keras.ops.log(probabilities), axis=-1)


def perplexity(model: keras.Model, counts: np.ndarray, samples: int) -> float:
    """exp(bound per word): the bound is the mean over passes."""
    # With the loss, Keras reports the divergence.
    logs = [
        model.evaluate(
            counts, counts, batch_size=100, verbose=0, return_dict=True
        )
        for _ in range(samples)
    ]
    bounds = [log["loss"] for log in logs]
    words = counts.sum() / len(counts)
    return float(np.exp(np.mean(bounds) / words))


def draw(path: pathlib.Path, model: keras.Model, test: np.ndarray) -> None:
    """Topics on top; below, images beside what their topics make of them."""
    tables = np.array(model.get_layer("topics").tables())
    columns = len(tables)
    figure, axes = plt.subplots(
        3, columns, figsize=(columns, 3.6), layout="constrained"
    )
    images = test[:columns]
    words = model.predict(images, verbose=0)
    scaled = words * images.sum(axis=1, keepdims=True)
    rows = (
        ("topics", tables, None),
        ("test images", images, 16),
        ("expected counts", scaled, 16),
    )
    for line, (title, pictures, top) in zip(axes, rows, strict=True):
        for axis, picture in zip(line, pictures, strict=True):
            axis.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=top)
            axis.set(xticks=[], yticks=[])
        line[0].set_title(title, loc="left", fontsize=9)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Topics of digits, by a Dirichlet VAE.", out="topics-out", verbose=1
    )
    add = parser.add_argument
    add("--topics", type=integer(2, 64), default=12, help="T, number of topics")
    help = "concentration of the prior, the same for all topics"
    add("--alpha", type=positive, default=0.3, help=help)
    add("--epochs", type=integer(), default=60, help="passes over the data")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=3e-3, help=help)
    help = "passes of scikit-learn's LDA"
    add("--lda-iterations", type=integer(), default=30, help=help)
    help = "samples for each test image in the bound"
    add("--samples", type=integer(), default=10, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
