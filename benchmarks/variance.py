"""Gradient variance of unbiased estimators while a binary VAE trains.

The set-up of Titsias & Shi 2022 and Shi et al. 2022 on dynamically binarised
MNIST: 200 Bernoulli variables with fair coins as the prior, encoder
784-200-200-200 and decoder 200-200-200-784 with LeakyReLU(0.3), Adam 1e-3,
batch 100, control variates with their own Adam 1e-3. The cost is the whole
-ELBO at the sample, log q(z|x) - log p(x, z), in nats. 50,000 images train.

Estimators are compared at an equal number of evaluations of the cost per
example and step: with two of them rebar and relax have tied noise, with three
independent noise, and with four two tied samples; disarm takes pairs.

The variance is summed over the 200 coordinates and averaged over 100 images,
over `--draws` estimates for each; RESULTS.md says more. For the bounds, images
are binarised by a literal seed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks, _runner, _training
from benchmarks._runner import Arguments, Options, Row
from benchmarks._training import Trainer
from tfgumbel import estimators, random
from tfgumbel.diagnostics.estimates import seeded, step_seed
from tfgumbel.estimators import Estimator

ESTIMATORS = ["rloo", "disarm", "arms", "double_cv", "rodeo", "rebar", "relax"]
ESTIMATORS += ["unordered_set"]
SLOPE = 0.3
PROBE = 100


def arguments_of(name: str, evaluations: int) -> Row | None:
    """What it takes to make so many evaluations, or `None` if it cannot."""
    half, odd = divmod(evaluations, 2)
    if name == "disarm":
        return None if odd else {"samples": half}
    if name in ("rebar", "relax"):
        more = {"relaxed_cost": True} if name == "relax" else {}
        untied = {"samples": evaluations // 3, "tied": False}
        return (untied if odd else {"samples": half}) | more
    return {"samples": evaluations}


class Vae(_networks.AutoEncoder):
    """A binary VAE, and -ELBO at a sample."""

    def __init__(self, hidden: Sequence[int], variables: int) -> None:
        super().__init__(hidden, variables, SLOPE)

    def cost_fn(self, images: tf.Tensor, logits: tf.Tensor) -> Any:
        """log q(z|x) - log p(x, z); of q the sample is all that counts.

        The gradient of log q(z|x) in its own parameters has the mean zero.
        """
        logits = tf.stop_gradient(logits)

        def cost(z: tf.Tensor) -> tf.Tensor:
            own = estimators.tile_context(logits, z)
            # Not `ops.bernoulli_log_prob`: z may be relaxed.
            log_q = tf.reduce_sum(z * own - tf.nn.softplus(own), axis=1)
            log_prior = -z.shape[1] * math.log(2.0)
            error = _networks.reconstruction(self.decoder(z), images)
            return error + log_q - log_prior

        return cost

    def loss(
        self, estimator: Estimator, images: tf.Tensor, seed: Any
    ) -> tf.Tensor:
        """-ELBO per image, whose gradient is the estimator's."""
        logits = self.encoder(images)
        return estimator(self.cost_fn(images, logits), logits, seed, images)

    def log_weights(
        self, images: tf.Tensor, targets: tf.Tensor, samples: int, seed: Any
    ) -> tf.Tensor:
        """log p(x, z) / q(z|x), `[m, B]`."""
        logits = self.encoder(images)
        z = random.bernoulli(tf.tile(logits, [samples, 1]), seed)
        cost = self.cost_fn(targets, logits)(z)
        return -tf.reshape(cost, [samples, -1])

    def bound(self, images: np.ndarray, samples: int, xla: bool) -> float:
        """-log 1/m Σ p(x, z) / q(z|x), on images binarised once."""
        binary = _mnist.binarize(images)
        return _networks.negative_bound(
            self.log_weights, binary, binary, samples, xla=xla
        )[0]


def variance(
    vae: Vae,
    estimator: Estimator,
    images: tf.Tensor,
    draws: int,
    xla: bool = True,
) -> Callable[[], float]:
    """The gradient's variance in the logits of these images."""

    @tf.function(autograph=False, jit_compile=xla)
    def measure() -> tf.Tensor:
        logits = tf.tile(vae.encoder(images), [draws, 1])
        rows = tf.tile(images, [draws, 1])
        with tf.GradientTape() as tape:
            tape.watch(logits)
            cost = estimator(vae.cost_fn(rows, logits), logits, [20, 26], rows)
        found = tape.gradient(cost, logits)
        found = tf.reshape(found, [draws, len(images), -1])
        spread = tf.math.reduce_variance(found, axis=0)
        unbiased = tf.reduce_sum(spread) * draws / (draws - 1)
        return unbiased / len(images)

    return lambda: float(measure())


def make(name: str, evaluations: int) -> Estimator | None:
    """The estimator at so many evaluations, if there is one."""
    arguments = arguments_of(name, evaluations)
    if arguments is None or name not in estimators.available("bernoulli"):
        return None
    made = estimators.get(name, distribution="bernoulli", **arguments)
    assert made.evaluations == evaluations, (name, made.evaluations)
    return made


def run(
    name: str, evaluations: int, seed: int, data: _mnist.Data, options: Options
) -> None:
    """One estimator at so many evaluations, one seed."""
    with seeded(seed):
        vae = Vae(options.hidden, options.variables)
        estimator = make(name, evaluations)
        if estimator is None:
            return
        estimator.build((None, options.variables), (None, 784))
    images = data["x_train"][: len(data["x_train"]) * 5 // 6]

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        own, pixels = random.split(step_seed(seed, step), 2)
        drawn = _mnist.draw_pixels(batch[0], pixels)
        return tf.reduce_mean(vae.loss(estimator, drawn, own))

    parts = vae.weights, estimator.trainable_variables
    trainer = Trainer(
        loss,
        _mnist.feed([images], options.batch, seed),
        [(keras.optimizers.Adam(1e-3), part) for part in parts],
        estimator.non_trainable_variables,
        options.xla,
    )
    facts = {
        "estimator": name,
        "evaluations": evaluations,
        "arguments": arguments_of(name, evaluations),
        "seed": seed,
        "batch": options.batch,
        "draws": options.draws,
        "treatment": "dynamic binarisation",
        "bound": "1-sample -ELBO, train; 100-sample bound, test",
    }
    probe = tf.constant(_mnist.binarize(images[:PROBE]).astype("float32"))
    measure = variance(vae, estimator, probe, options.draws, options.xla)
    key = f"{name}/{evaluations} evaluations/{options.steps} steps/seed {seed}"

    def final(curve: Row) -> Row:
        later = curve["variance"][len(curve["variance"]) // 2 :]
        count, xla = options.images, options.xla
        return {
            "variance": float(np.mean(later)),
            "train": vae.bound(images[:count], 1, xla),
            "test": vae.bound(data["x_test"][:count], 100, xla),
        }

    made = trainer, key, facts, options
    _training.train(*made, lambda: {"variance": measure()}, final)


def main(arguments: Arguments = None) -> Row:
    """Trains what the JSON does not hold yet."""
    parser = _training.parser("variance", __doc__, ESTIMATORS, 200_000, 1000)
    parser.add_defaults(evaluations=[2, 3, 4], draws=20, batch=100)
    parser.add_defaults(hidden=[200, 200], variables=200)
    images = "images of the bounds; all of them"
    parser.add_argument("--images", type=int, help=images)
    options = _runner.parse(parser, arguments)
    data = _mnist.load(options.mnist)
    for seed, evaluations, name in itertools.product(
        options.seeds, options.evaluations, options.estimators
    ):
        run(name, evaluations, seed, data, options)
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
