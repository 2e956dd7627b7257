"""Semi-supervised MNIST: marginalisation against samples of the label.

The model of Kingma et al. 2014 as in Jang, Gu & Poole 2017: label y, style
z ~ N(0, I), image x; q(y|x) and q(z|x, y) convolutional networks of 3 layers,
p(x|y, z) a transposed one of 4. With L(x, y) = E[-log p(x|y, z)] +
KL(q(z|x, y) ‖ p(z)) + log K the loss is

    labelled:    L(x, y) - α log q(y|x)
    unlabelled:  E_{q(y|x)} L(x, y) - H(q(y|x))

and only the gradient of that last expectation differs: `exact` sums over all
K labels, `gumbel_softmax` and `st_gumbel` draw one.

`train`: 100 labelled images, 10 of each class, and 50,000 unlabelled ones,
binarised anew in each batch of 100 + 100; Adam 1e-3, α = 1 (of the published
values), temperature max(0.5, T exp(-3e-5 t)) updated every 2,000 steps.
Results: accuracy on the test images, grey levels as input, and their -ELBO, y
summed out exactly for all, one z. `timing`: milliseconds of such a step with
random labels out of K classes, all contenders in turns.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks, _runner, _training
from benchmarks._runner import Arguments, Options, Row
from benchmarks._timing import compare
from benchmarks._training import Trainer
from tfgumbel import estimators, ops, random, schedules
from tfgumbel.diagnostics.estimates import seeded, step_seed
from tfgumbel.estimators import Estimator

ESTIMATORS = ("exact", "gumbel_softmax", "st_gumbel", "reinmax")
TIMED = ("exact", "gumbel_softmax", "st_gumbel")
ANNEALED = ("gumbel_softmax", "st_gumbel")
ALPHA = 1.0


class Model:
    """q(y|x), q(z|x, y) and p(x|y, z) for images of 28 x 28.

    K classes, three convolutions of so many channels, and z of size `style`.
    """

    def __init__(
        self, classes: int, widths: Sequence[int], style: int = 32
    ) -> None:
        self.classes, self.style = classes, style
        self.labels = _encoder(1, widths, classes)
        self.styles = _encoder(2, widths, 2 * style)
        self.embedding = keras.layers.Dense(784)
        self.embedding.build((None, classes))
        self.decoder = _decoder(classes + style, widths)
        networks = (self.labels, self.styles, self.embedding, self.decoder)
        self.weights = [w for n in networks for w in n.trainable_variables]

    def label_logits(self, images: tf.Tensor) -> tf.Tensor:
        """Logits of q(y|x), `[B, 1, K]`: one variable of K classes."""
        return self.labels(_picture(images))[:, None]

    def cost(
        self, images: tf.Tensor, labels: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """L(x, y) at one z, for labels `[n·B, K]` on the simplex."""
        images = estimators.tile_context(images, labels)
        pictures = _picture(images), _picture(self.embedding(labels))
        seen = self.styles(tf.concat(pictures, axis=-1))
        mean, log_variance = tf.split(seen, 2, axis=-1)
        noise = random.normal(tf.shape(mean), seed)
        stddev = ops.gaussian_stddev(log_variance)
        z = ops.reparameterize_gaussian(mean, stddev, noise)
        logits = self.decoder(tf.concat([labels, z], axis=-1))
        error = _networks.reconstruction(logits, images)
        divergence = tf.reduce_sum(ops.gaussian_kl(mean, stddev), axis=1)
        return error + divergence + math.log(self.classes)

    def bound(
        self, estimator: Estimator, images: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """-ELBO of unlabelled images, `[B]`, in nats."""
        own, styles = random.split(seed, 2)
        logits = self.label_logits(images)

        def f(y: tf.Tensor) -> tf.Tensor:
            return self.cost(images, y[:, 0], styles)

        cost = estimator(f, logits, own)
        log_prob = tf.nn.log_softmax(logits[:, 0])
        return cost + tf.reduce_sum(tf.exp(log_prob) * log_prob, axis=1)

    def labelled(
        self, images: tf.Tensor, labels: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """The loss of labelled images, `[B]`."""
        target = tf.one_hot(labels, self.classes)
        entropy = tf.nn.softmax_cross_entropy_with_logits(
            target, self.label_logits(images)[:, 0]
        )
        return self.cost(images, target, seed) + ALPHA * entropy


def _encoder(channels: int, widths: Sequence[int], units: int) -> Any:
    layers: list[Any] = [keras.Input([28, 28, channels])]
    shape = 3, 2, "same"
    for width in widths:
        layers.append(keras.layers.Conv2D(width, *shape, activation="relu"))
    layers += [keras.layers.Flatten(), keras.layers.Dense(units)]
    return keras.Sequential(layers)


def _decoder(inputs: int, widths: Sequence[int]) -> Any:
    layers: list[Any] = [keras.Input([inputs])]
    layers.append(keras.layers.Reshape([1, 1, inputs]))
    shapes = (4,), (4,), (3, 2, "same")
    transposed = keras.layers.Conv2DTranspose
    for width, shape in zip(widths[::-1], shapes, strict=True):
        layers.append(transposed(width, *shape, activation="relu"))
    layers += [transposed(1, 3, 2, "same"), keras.layers.Flatten()]
    return keras.Sequential(layers)


def _picture(flat: tf.Tensor) -> tf.Tensor:
    return tf.reshape(flat, [-1, 28, 28, 1])


def make_estimator(name: str, classes: int) -> Estimator:
    """Built for one variable of K classes."""
    estimator = estimators.get(name)
    estimator.build((None, 1, classes))
    return estimator


def make_loss(
    model: Model, estimator: Estimator, seed: int, annealing: Any
) -> Callable[[Any, tf.Tensor], tf.Tensor]:
    """Of a batch (labelled images, labels, unlabelled images), as bytes."""

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        if annealing is not None:
            estimator.temperature = annealing(step)
        seeds = random.split(step_seed(seed, step), 4)
        known = _mnist.draw_pixels(batch[0], seeds[0])
        unknown = _mnist.draw_pixels(batch[2], seeds[1])
        labelled = model.labelled(known, batch[1], seeds[2])
        unlabelled = model.bound(estimator, unknown, seeds[3])
        return tf.reduce_mean(labelled) + tf.reduce_mean(unlabelled)

    return loss


def choose_labelled(labels: np.ndarray) -> np.ndarray:
    """Rows of the labelled images: the first ten of each class."""
    rows = [np.flatnonzero(labels == c)[:10] for c in np.unique(labels)]
    return np.concatenate(rows)


def trainer_of(
    model: Model,
    estimator: Estimator,
    data: _mnist.Data,
    options: Options,
    seed: int,
    annealing: Any = None,
) -> Trainer:
    """Adam on the labelled and the unlabelled batch."""
    chosen = choose_labelled(data["y_train"])
    images = data["x_train"][: len(data["x_train"]) * 5 // 6]
    known = _mnist.feed(
        [data["x_train"][chosen], data["y_train"][chosen].astype("int32")],
        min(options.batch, len(chosen)),
        seed,
    )
    unknown = _mnist.feed([images], options.batch, seed)
    return Trainer(
        make_loss(model, estimator, seed, annealing),
        lambda step: [*known(step), *unknown(step)],
        [(keras.optimizers.Adam(1e-3), model.weights)],
        xla=options.xla,
    )


def accuracy(model: Model, data: _mnist.Data) -> Row:
    """That of the most probable label, on the test images."""
    grey = data["x_test"].reshape(-1, 28, 28, 1).astype("float32") / 255.0
    logits = model.labels.predict(grey, batch_size=500, verbose=0)
    right = np.argmax(logits, axis=-1) == data["y_test"]
    return {"accuracy": float(np.mean(right))}


def bound(model: Model, data: _mnist.Data) -> float:
    """-ELBO of the test images, with y summed out."""
    exact = make_estimator("exact", model.classes)
    pixels = _mnist.binarize(data["x_test"], _mnist.BINARIZATION_SEED + 1)

    def terms(images: Any, _: Any, samples: int, seed: Any) -> tf.Tensor:
        return -model.bound(exact, images, seed)[None]

    how: Row = {"seed": 7, "rows": 500, "xla": False}
    return _networks.negative_bound(terms, pixels, pixels, 1, **how)[0]


def train_one(name: str, seed: int, data: _mnist.Data, options: Options) -> Row:
    """One estimator, one seed."""
    with seeded(seed):
        model = Model(10, options.widths)
        estimator = make_estimator(name, 10)
    key, start, annealing = f"train/{name}/seed {seed}", 1.0, None
    if name in ANNEALED:
        start = options.temperature
        annealing = schedules.ExponentialAnnealing(
            start, 3e-5, minimum=0.5, every=2000
        )
    if start != 1.0:
        key += f"/temperature {start:g}"
    facts = {
        "estimator": name,
        "seed": seed,
        "batch": options.batch,
        "learning_rate": 1e-3,
        "temperature": start,
        "evaluations": estimator.evaluations,
        "treatment": "binarised anew in each batch; test: fixed",
        "bound": "-ELBO, y summed out, one z",
    }
    trainer = trainer_of(model, estimator, data, options, seed, annealing)

    evaluate = partial(accuracy, model, data)

    def final(curve: Row) -> Row:
        return {**evaluate(), "test": bound(model, data)}

    return _training.train(trainer, key, facts, options, evaluate, final)


def time_step(classes: int, names: Sequence[str], options: Options) -> Row:
    """Milliseconds of a step, contenders in turns, labels at random."""
    rng = np.random.default_rng(0)
    data = {
        "x_train": rng.integers(0, 256, (1200, 784)).astype("uint8"),
        "y_train": rng.integers(0, classes, 1200),
    }

    def contender(name: str) -> Callable[[], float]:
        with seeded(0):
            model = Model(classes, options.widths)
            estimator = make_estimator(name, classes)
        trainer = trainer_of(model, estimator, data, options, 0)
        steps = itertools.pairwise(itertools.count())
        return lambda: trainer.advance(*next(steps))

    calls = {name: contender(name) for name in names}
    return compare(calls, options.repeats, slow_seconds=5.0)


def main(arguments: Arguments = None) -> Row:
    """Trains or times what the JSON does not hold yet."""
    made = "semi_supervised", __doc__, ESTIMATORS, 100_000, 250
    parser = _training.parser(*made, xla=False)
    add = parser.add_argument
    add("part", choices=["train", "timing"])
    parser.add_defaults(classes=[5, 10, 50, 100])
    add("--temperature", type=float, default=1.0, help="at the start")
    parser.add_defaults(batch=100, repeats=7)
    add("--widths", nargs=3, type=int, default=[16, 32, 64])
    options = _runner.parse(parser, arguments)
    names = options.estimators
    if options.part == "timing":
        names = TIMED if names == list(ESTIMATORS) else names
        for classes in options.classes:
            found = time_step(classes, names, options)
            row = {"classes": classes, "batch": options.batch, "times": found}
            _training.record(options, f"timing/{classes} classes", row)
            print(f"{classes} classes: {found}", flush=True)
            keras.backend.clear_session()
    else:
        data = _mnist.load(options.mnist)
        for seed, name in itertools.product(options.seeds, names):
            train_one(name, seed, data, options)
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
