"""Times one training step of a small VAE, next to hand-written layers.

Run `python -m benchmarks.step [--device GPU:0]`. One call is twenty steps of
Keras's own compiled train function on one batch: 64 pixels, 128 hidden units,
eight variables of ten categories, batches of 100, Adam, graph mode. At such
sizes a step waits for its operations to be launched, so that their number
counts. Keras's callbacks are left out. Contenders take turns:

* `tfgumbel`: `GumbelSoftmax` in a `keras.Model`;
* hand-written, TFP, no noise: other layers in its place, as in
  `benchmarks.epoch`;
* StochasticModel: the same `GumbelSoftmax`, and a `ReinforceSampler` without a
  baseline, in a `StochasticModel`; and with the baseline of NVIL, which has a
  network of its own to train.

A ratio is the median over the rounds of the ratio within a round: what else the
machine does hits both alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _timing
from benchmarks.epoch import (
    FLOOR,
    HAND,
    OURS,
    TEMPERATURE,
    TFP,
    HandWritten,
    NoNoise,
    TFPLayer,
)

OUT = Path(__file__).parent / "results" / "step.json"
OUT_GPU = OUT.with_stem("step_gpu")
PACKAGES = ["tensorflow", "keras", "tensorflow-probability", "numpy"]
BATCH, PIXELS, HIDDEN, CODE = 100, 64, 128, (8, 10)
STEPS = 20
STOCHASTIC = "GumbelSoftmax in StochasticModel"
REINFORCE = "ReinforceSampler in StochasticModel"
NVIL = "ReinforceSampler, NVIL, in StochasticModel"
# At most so much of the hand-written layer's step.
LIMITS = {OURS: 1.0, STOCHASTIC: 1.1, REINFORCE: 1.1}


def steps(
    sampler: Callable[..., Any], model: Any = keras.Model
) -> Callable[[], None]:
    """A call that trains for some steps."""
    x = keras.Input((PIXELS,))
    h = keras.layers.Dense(HIDDEN, activation="relu")(x)
    logits = keras.layers.Dense(CODE[0] * CODE[1])(h)
    logits = tg.CategoricalKL()(keras.layers.Reshape(CODE)(logits))
    h = keras.layers.Flatten()(sampler(logits))
    h = keras.layers.Dense(HIDDEN, activation="relu")(h)
    vae = model(x, keras.layers.Dense(PIXELS)(h))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    vae.compile("adam", loss, loss_weights=float(PIXELS), jit_compile=False)
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


def contenders() -> dict[str, Callable[[], None]]:
    """Steps by name, of those that can run here."""

    def reinforce(baseline: str | None) -> Callable[..., Any]:
        return tg.ReinforceSampler(baseline=baseline)

    found = {
        OURS: steps(tg.GumbelSoftmax(TEMPERATURE)),
        HAND: steps(HandWritten()),
        FLOOR: steps(NoNoise()),
        STOCHASTIC: steps(tg.GumbelSoftmax(TEMPERATURE), tg.StochasticModel),
        REINFORCE: steps(reinforce(None), tg.StochasticModel),
        NVIL: steps(reinforce("nvil"), tg.StochasticModel),
    }
    if importlib.util.find_spec("tensorflow_probability"):
        found[TFP] = steps(TFPLayer())
    return found


def ratio(
    timings: Sequence[_timing.Timing], to: Sequence[_timing.Timing], figure: str
) -> float:
    """The median of the ratios within a round."""
    pairs = zip(timings, to, strict=True)
    found = [getattr(a, figure) / getattr(b, figure) for a, b in pairs]
    return round(statistics.median(found), 3)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the table and the targets, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=100, help="rounds")
    parser.add_argument(
        "--device", choices=_timing.DEVICES, default=_timing.DEVICES[0]
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    environment = _timing.environment(PACKAGES)
    keras.utils.set_random_seed(0)
    with tf.device(options.device):
        timings = _timing.interleave(
            contenders(), options.repeats, slow_repeats=options.repeats
        )
    rows = [
        {
            "name": name,
            **_timing.summary(found),
            "steps": STEPS,
            "to_hand": ratio(found, timings[HAND], "wall"),
            "cpu_to_hand": ratio(found, timings[HAND], "cpu"),
        }
        for name, found in timings.items()
    ]
    targets = [
        {
            "target": f"{row['name']} / {HAND}",
            "limit": LIMITS[row["name"]],
            "measured": row["to_hand"],
            "measured_cpu": row["cpu_to_hand"],
            "reached": row["to_hand"] <= LIMITS[row["name"]],
        }
        for row in rows
        if row["name"] in LIMITS
    ]
    for row in sorted(rows, key=lambda row: row["to_hand"]):
        print(
            f"{row['name']:<44}{row['median_ms'] / STEPS:>8.3f} ms a step, "
            f"{row['to_hand']:.3f} of {HAND} (CPU {row['cpu_to_hand']:.3f})"
        )
    for target in targets:
        verdict = "reached" if target["reached"] else "NOT REACHED"
        print(f"{target['target']:<58} at most {target['limit']}: {verdict}")
    report = {
        "benchmark": "step",
        "batch": BATCH,
        "device": options.device,
        "environment": environment,
        "results": rows,
        "targets": targets,
    }
    gpu = _timing.on_gpu(options.device)
    _timing.write_json(options.out or (OUT_GPU if gpu else OUT), report)
    return report


if __name__ == "__main__":
    main()
