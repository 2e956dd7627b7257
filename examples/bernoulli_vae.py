"""Two hundred random bits for a digit, and six gradients to train them.

A digit becomes 200 random bits, and six estimators train the same model. The
table compares the bound they reach, and how many bits they keep in use.

The Bernoulli VAE on which gradient estimators are commonly compared: a code z
of 200 independent bits (Bernoulli variables), uniform a priori, q(z|x) from an
encoder with one hidden layer, p(x|z) from a decoder that is linear. Training
descends, in nats per image,

    -ELBO = E_{z~q(.|x)}[-log p(x|z)] + KL(q(.|x) ‖ p),

the second term in closed form (`BernoulliKL`), the first by `ExpectedCost`,
whose `estimator=` is all that differs from row to row of the table:

- `st`, `gumbel_softmax` (here the binary Concrete relaxation) and `reinmax` go
  through the sample, need the decoder's derivative, and are biased;
- `nvil`, `rloo`, `disarm` need its value alone and are unbiased; `rloo` and
  `disarm` decode two samples, with a baseline from each other or antithetic.

The images are binarised, so that the bound is that of a proper likelihood. In
the first half of a run the weight of the divergence grows from 0 to 1, so that
no bits fall silent before the decoder has learned to listen. A bit that says
nothing costs nothing: the table counts those that tell at least 0.01 nats.

    python examples/bernoulli_vae.py --out bits-out

Reference:
    Mnih, Gregor. Neural variational inference and learning in belief networks.
    ICML 2014. Dong, Mnih, Tucker. DisARM: an antithetic gradient estimator for
    binary latent variables. NeurIPS 2020.
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
from sklearn.datasets import load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PIXELS = 64
# With their options.
ESTIMATORS: dict[str, dict] = {
    "st": {},
    "gumbel_softmax": {"temperature": 0.5},
    "reinmax": {},
    "nvil": {},
    "rloo": {},
    "disarm": {},
}


class Score(NamedTuple):
    """On the test images."""

    bound: float
    active: int


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Trains with each estimator; returns the test scores."""
    args = parse(argv)
    train, test = load_images()
    args.out.mkdir(parents=True, exist_ok=True)
    scores, histories = {}, {}
    print(
        f"{'estimator':16}{'test -ELBO':>12}{'active bits':>13}{'seconds':>9}"
    )
    for name in args.estimators:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        encoder = make_encoder(args.hidden, args.bits)
        decoder = make_decoder(args.bits)
        model = make_vae(encoder, decoder, name)
        histories[name] = fit(model, train, test, args)
        seconds = time.process_time() - start
        scores[name] = Score(
            test_bound(model, test, args.samples),
            int(np.sum(information(encoder, test) > 0.01)),
        )
        bound, active = scores[name]
        print(f"{name:16}{bound:>12.2f}{active:>13}{seconds:>9.0f}")
    plot(args.out / "bits.png", histories, encoder, decoder, test)
    print(f"Wrote {args.out / 'bits.png'}")
    return scores


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Binary pixels `[N, 64]`: to train, and 300 for the test."""
    pixels = (load_digits().data >= 8).astype("float32")
    order = np.random.default_rng(0).permutation(len(pixels))
    return pixels[order[300:]], pixels[order[:300]]


# Model --------------------------------------------------------------------


def make_encoder(hidden: int, bits: int) -> keras.Model:
    """From pixels to the log-odds of the bits."""
    return keras.Sequential(
        [
            keras.Input((PIXELS,)),
            keras.layers.Dense(hidden, activation="relu"),
            keras.layers.Dense(bits),
        ]
    )


def make_decoder(bits: int) -> keras.Model:
    """From bits to the log-odds of the pixels: linear."""
    return keras.Sequential([keras.Input((bits,)), keras.layers.Dense(PIXELS)])


def make_vae(
    encoder: keras.Model, decoder: keras.Model, name: str
) -> keras.Model:
    """From pixels to -log p(x|z) per image; the divergence adds itself."""
    code, image = keras.Input(decoder.input_shape[1:]), keras.Input((PIXELS,))
    logits = decoder(code)
    cross_entropy = keras.ops.softplus(logits) - image * logits
    cost = keras.Model([code, image], keras.ops.sum(cross_entropy, axis=-1))

    x = keras.Input((PIXELS,))
    code_logits = tg.BernoulliKL(name="kl")(encoder(x))
    estimator = tg.estimators.get(
        name, distribution="bernoulli", **ESTIMATORS[name]
    )
    return keras.Model(x, tg.ExpectedCost(cost, estimator)(code_logits, x))


def fit(
    model: keras.Model,
    train: np.ndarray,
    test: np.ndarray,
    args: argparse.Namespace,
) -> list[float]:
    """Trains; returns the test bound of each epoch.

    The weight of the divergence rises to 1 during the first half.
    """
    model.compile(
        keras.optimizers.Adam(args.learning_rate), tg.losses.MeanCost()
    )
    half = args.epochs * -(-len(train) // 50) / 2
    warm_up = tg.TemperatureScheduler(
        lambda step: min(1.0, (step + 1) / half), attribute="weight"
    )
    history = model.fit(
        train,
        np.zeros(len(train)),
        batch_size=50,
        epochs=args.epochs,
        validation_data=(test, np.zeros(len(test))),
        callbacks=[warm_up],
        verbose=args.verbose,
    )
    model.get_layer("kl").weight = 1.0
    return history.history["val_loss"]


def test_bound(model: keras.Model, test: np.ndarray, samples: int) -> float:
    """-ELBO in nats; `ExpectedCost` draws exact bits when not training."""
    # With the loss, Keras reports the divergence.
    target, options = np.zeros(len(test)), {"verbose": 0, "return_dict": True}
    logs = [
        model.evaluate(test, target, batch_size=300, **options)
        for _ in range(samples)
    ]
    return float(np.mean([log["loss"] for log in logs]))


def information(encoder: keras.Model, test: np.ndarray) -> np.ndarray:
    """KL(q(z_d|x) ‖ p) of every bit, in nats, the mean over images."""
    return np.mean(tg.ops.bernoulli_kl(encoder(test), 0.0), axis=0)


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    histories: dict[str, list[float]],
    encoder: keras.Model,
    decoder: keras.Model,
    test: np.ndarray,
) -> None:
    """Test bounds; what the last model's bits draw."""
    figure = plt.figure(figsize=(11, 4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.35))
    axis = left.subplots()
    for name, bounds in histories.items():
        # Before half-way the divergence does not have its full weight.
        epochs = np.arange(len(bounds) // 2, len(bounds))
        axis.plot(epochs + 1, np.array(bounds)[epochs], label=name)
    axis.set(xlabel="epoch", ylabel="test -ELBO (nats)")
    axis.legend(fontsize=8, ncols=2)

    told = information(encoder, test)
    most = np.argsort(-told)[:12]
    kernel = keras.ops.convert_to_numpy(decoder.layers[-1].kernel)
    limit = np.abs(kernel).max()
    prior = np.random.default_rng(0).integers(2, size=(12, len(told)))
    code = np.array(encoder(test[:12])) > 0
    rows = {
        "test images": (test[:12], "gray", (0, 1)),
        "reconstructed from their bits": (
            decode(decoder, code),
            "gray",
            (0, 1),
        ),
        f"the {len(most)} bits that tell most": (
            kernel[most],
            "RdBu_r",
            (-limit, limit),
        ),
        "bits drawn from the prior": (decode(decoder, prior), "gray", (0, 1)),
    }
    for part, (title, row) in zip(
        right.subfigures(len(rows), 1), rows.items(), strict=True
    ):
        draw_row(part, title, *row)
    figure.savefig(path, dpi=100)
    plt.close(figure)


def draw_row(
    figure, title: str, images: np.ndarray, colours: str, limits: tuple
) -> None:
    """Images side by side under a title."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    for axis, image in zip(
        figure.subplots(1, len(images)), images, strict=True
    ):
        low, high = limits
        axis.imshow(image.reshape(8, 8), colours, vmin=low, vmax=high)
        axis.set(xticks=[], yticks=[])


def decode(decoder: keras.Model, codes: np.ndarray) -> np.ndarray:
    """Mean images of the bits `[N, D]`."""
    return np.array(keras.ops.sigmoid(decoder(codes.astype("float32"))))


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Bernoulli VAE with 200 bits on 8x8 digits.", out="bits-out", verbose=0
    )
    add = parser.add_argument
    add(
        "--estimators",
        nargs="+",
        choices=ESTIMATORS,
        default=list(ESTIMATORS),
        help="gradients to train with",
    )
    help = "number of Bernoulli variables of the code"
    add("--bits", type=integer(2), default=200, help=help)
    help = "units of the encoder's hidden layer"
    add("--hidden", type=integer(), default=200, help=help)
    add("--epochs", type=integer(), default=60, help="passes over the data")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    help = "codes for each test image in the bound"
    add("--samples", type=integer(), default=10, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
