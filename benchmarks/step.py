"""Times one training step of a small VAE, next to hand-written layers.

One call is twenty steps of Keras's own compiled train function on one batch:
64 pixels, 128 hidden units, eight variables of ten categories, batches of 100,
Adam, graph mode. At such sizes a step waits for its operations to be launched,
so that their number counts. Keras's callbacks are left out.

Beside contenders of `benchmarks.epoch`: a `StochasticModel` with the same
layer, and with a `ReinforceSampler` without a baseline or with that of NVIL.
A ratio is the median over the rounds of the ratio within a round: what else the
machine does hits both alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _runner, _samplers, _timing
from benchmarks._runner import Arguments, Call, Row
from benchmarks._timing import Timing
from benchmarks.epoch import FLOOR, HAND, OURS, REINFORCE, TFP

PACKAGES = [*_runner.PACKAGES, "tensorflow-probability"]
BATCH, PIXELS, HIDDEN, CODE = 100, 64, (128,), (8, 10)
STEPS = 20
STOCHASTIC = "GumbelSoftmax in StochasticModel"
NVIL = "ReinforceSampler, NVIL, in StochasticModel"
# At most so much of the hand-written layer's step.
LIMITS = {OURS: 1.0, STOCHASTIC: 1.1, REINFORCE: 1.1}
COLUMNS = ["name", "median_ms", "to_hand", "cpu_to_hand"]


def steps(sampler: Any, model: Any = keras.Model) -> Call:
    """A call that trains for some steps."""
    vae = _samplers.vae(sampler, PIXELS, HIDDEN, CODE, model)
    images = np.random.default_rng(0).uniform(size=(BATCH, PIXELS))
    batch = tf.constant(images, tf.float32)
    # Of unknown size, as the batches of `fit` are.
    data = tf.data.Dataset.from_tensors((batch, batch)).unbatch().batch(BATCH)
    iterator = iter(data.cache().repeat())
    vae.make_train_function()

    def call() -> None:
        for _ in range(STEPS):
            vae.train_function(iterator)
        tf.test.experimental.sync_devices()

    return call


def contenders() -> dict[str, Call]:
    """Steps by name, of those that can run here."""
    temperature, model = _samplers.TEMPERATURE, tg.StochasticModel
    found = {
        OURS: steps(tg.GumbelSoftmax(temperature)),
        HAND: steps(_samplers.HandWritten()),
        FLOOR: steps(_samplers.NoNoise()),
        STOCHASTIC: steps(tg.GumbelSoftmax(temperature), model),
        REINFORCE: steps(tg.ReinforceSampler(baseline=None), model),
        NVIL: steps(tg.ReinforceSampler(baseline="nvil"), model),
    }
    if _runner.installed("tensorflow_probability"):
        found[TFP] = steps(_samplers.TFPLayer())
    return found


def ratio(ours: Sequence[Timing], to: Sequence[Timing], figure: str) -> float:
    """The median of the ratios within a round."""
    pairs = zip(ours, to, strict=True)
    found = [getattr(a, figure) / getattr(b, figure) for a, b in pairs]
    return round(statistics.median(found), 3)


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("step", __doc__, device=True, repeats=100)
    options = _runner.parse(parser, arguments)
    keras.utils.set_random_seed(0)
    with tf.device(options.device):
        calls, rounds = contenders(), options.repeats
        timings = _timing.interleave(calls, rounds, slow_repeats=rounds)
    rows, targets = [], []
    for name, found in timings.items():
        wall, cpu = (ratio(found, timings[HAND], x) for x in ("wall", "cpu"))
        row = {"name": name, **_timing.summary(found), "steps": STEPS}
        rows.append({**row, "to_hand": wall, "cpu_to_hand": cpu})
        if name in LIMITS:
            check = f"{name} / {HAND}", wall, LIMITS[name]
            targets.append(_runner.target(*check, measured_cpu=cpu))
    facts = {"batch": BATCH, "device": options.device}
    rows.sort(key=lambda row: row["to_hand"])
    return _runner.finish(options, COLUMNS, rows, targets, PACKAGES, **facts)


if __name__ == "__main__":
    main()
