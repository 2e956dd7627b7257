"""Times `fit` on the categorical VAE beside the same model built otherwise.

Run `python -m benchmarks.epoch [--device GPU:0]`. One call is one epoch of
training, with the settings of Jang et al.: 784-512-256, twenty variables of ten
categories, batches of 100, Adam. Contenders take turns:

* `tfgumbel`: `GumbelSoftmax` in a `keras.Model`;
* TFP: a Keras layer that samples `RelaxedOneHotCategorical`;
* hand-written: a Keras layer with `keras.random.uniform` and two logarithms,
  as one finds it;
* torch: `F.gumbel_softmax` in an eager training loop, if PyTorch is installed;
* Keras, no noise: a softmax in place of the sampler. No layer for `fit` can
  take less: what is above it is the sampler's share, what is below it Keras's.

All Keras contenders run op by op in a graph (`jit_compile=False`); "tfgumbel,
XLA" is the first one as `compile` makes it by default.

Then what `StochasticModel.fit` costs: the same layers under `keras.Model`
and under `StochasticModel`, and a `ReinforceSampler` without baseline beside
the straight-through layer.

Ratios are of the fastest rounds: in some epochs Keras's `fit` stands still for
about a second without using the processor, whatever the layers are, and a
median of few rounds may fall on either side.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _timing

OUT = Path(__file__).parent / "results" / "epoch.json"
OUT_GPU = OUT.with_stem("epoch_gpu")
PACKAGES = ["tensorflow", "keras", "tensorflow-probability", "numpy", "torch"]
TEMPERATURE, BATCH, PIXELS = 0.7, 100, 784
HIDDEN, CODE = (512, 256), (20, 10)
OURS, TFP, HAND, TORCH = "tfgumbel", "TFP", "hand-written", "torch"
PLAIN, STOCHASTIC = "keras.Model", "StochasticModel"
FLOOR, XLA = "Keras, no noise", "tfgumbel, XLA"
ST, REINFORCE = "st in keras.Model", "ReinforceSampler in StochasticModel"
OVERHEAD, NOISE = 1.15, 1.05


class TFPLayer(keras.layers.Layer):
    """Samples of TensorFlow Probability's distribution."""

    def call(self, logits: Any) -> Any:
        """Draws; TFP keeps count of the calls for its noise."""
        from tensorflow_probability import distributions as tfd

        q = tfd.RelaxedOneHotCategorical(TEMPERATURE, logits=logits)
        return tf.ensure_shape(q.sample(), logits.shape)


class NoNoise(keras.layers.Layer):
    """A softmax in place of a sampler."""

    def call(self, logits: Any) -> Any:
        """softmax(logits / τ)."""
        return tf.nn.softmax(logits / TEMPERATURE)


class HandWritten(keras.layers.Layer):
    """The layer that one finds in tutorials, mended to draw anew."""

    def __init__(self) -> None:
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, logits: Any) -> Any:
        """softmax((logits + Gumbel noise) / τ)."""
        uniform = keras.random.uniform(
            keras.ops.shape(logits), 1e-7, 1.0, seed=self.seeds
        )
        noise = -keras.ops.log(-keras.ops.log(uniform))
        return keras.ops.softmax((logits + noise) / TEMPERATURE)


def fit(
    sampler: keras.layers.Layer,
    images: np.ndarray,
    model: Any = keras.Model,
    jit_compile: bool = False,
) -> Callable[[], None]:
    """A call that trains for an epoch."""
    x = keras.Input((PIXELS,))
    h = x
    for units in HIDDEN:
        h = keras.layers.Dense(units, activation="relu")(h)
    logits = keras.layers.Reshape(CODE)(keras.layers.Dense(200)(h))
    h = keras.layers.Flatten()(sampler(tg.CategoricalKL()(logits)))
    for units in HIDDEN[::-1]:
        h = keras.layers.Dense(units, activation="relu")(h)
    vae = model(x, keras.layers.Dense(PIXELS)(h))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    vae.compile(
        "adam", loss, loss_weights=float(PIXELS), jit_compile=jit_compile
    )

    def epoch() -> None:
        vae.fit(images, images, batch_size=BATCH, verbose=0)

    return epoch


def torch_epoch(images: np.ndarray, place: str) -> Callable[[], None]:
    """The same model and epoch in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    def perceptron(*sizes: int) -> Any:
        layers: list[Any] = []
        for fan_in, fan_out in zip(sizes, sizes[1:], strict=False):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        return nn.Sequential(*layers[:-1])

    encoder = perceptron(PIXELS, *HIDDEN, 200).to(place)
    decoder = perceptron(200, *HIDDEN[::-1], PIXELS).to(place)
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights)
    data = torch.tensor(images, device=place)

    def epoch() -> None:
        for batch in torch.randperm(len(data)).split(BATCH):
            x = data[batch]
            logits = encoder(x).reshape(-1, *CODE)
            log_q = functional.log_softmax(logits, -1)
            kl = (log_q.exp() * (log_q + np.log(CODE[1]))).sum((1, 2)).mean()
            z = functional.gumbel_softmax(logits, TEMPERATURE)
            error = functional.binary_cross_entropy_with_logits(
                decoder(z.flatten(1)), x, reduction="none"
            )
            optimizer.zero_grad()
            (error.sum(1).mean() + kl).backward()
            optimizer.step()
        if place == "cuda":
            torch.cuda.synchronize()

    return epoch


def contenders(
    images: np.ndarray, place: str = "cpu"
) -> dict[str, Callable[[], None]]:
    """Epochs by name, of those that can run here."""
    straight_through = tg.StraightThroughCategorical("st", TEMPERATURE)
    reinforce = tg.ReinforceSampler(baseline=None)
    ours = tg.GumbelSoftmax
    found = {
        OURS: fit(ours(TEMPERATURE), images),
        HAND: fit(HandWritten(), images),
        FLOOR: fit(NoNoise(), images),
        XLA: fit(ours(TEMPERATURE), images, jit_compile=True),
        STOCHASTIC: fit(ours(TEMPERATURE), images, tg.StochasticModel),
        ST: fit(straight_through, images),
        REINFORCE: fit(reinforce, images, tg.StochasticModel),
    }
    if importlib.util.find_spec("tensorflow_probability"):
        found[TFP] = fit(TFPLayer(), images)
    if importlib.util.find_spec("torch"):
        found[TORCH] = torch_epoch(images, place)
    return found


def targets(rows: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether the epoch is the fastest, and the overhead small."""
    pairs = [
        (f"epoch / {peer}", OURS, peer, 1.0) for peer in (TFP, HAND, TORCH)
    ]
    pairs.append(("epoch / no noise", OURS, FLOOR, NOISE))
    pairs.append(("epoch under XLA / torch", XLA, TORCH, 1.0))
    pairs.append(("StochasticModel / keras.Model", STOCHASTIC, OURS, OVERHEAD))
    pairs.append(("REINFORCE / straight-through", REINFORCE, ST, OVERHEAD))

    def ratio(name: str, to: str, figure: str) -> float:
        return round(rows[name][figure] / rows[to][figure], 3)

    return [
        {
            "target": label,
            "limit": limit,
            "measured": ratio(name, to, "min_ms"),
            "measured_median": ratio(name, to, "median_ms"),
            "measured_cpu": ratio(name, to, "cpu_ms"),
            "reached": ratio(name, to, "min_ms") <= limit,
        }
        for label, name, to, limit in pairs
        if to in rows
    ]


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures, prints the table and the targets, writes JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeats", type=int, default=7, help="rounds")
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument(
        "--device", choices=_timing.DEVICES, default=_timing.DEVICES[0]
    )
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(arguments)
    environment = _timing.environment(PACKAGES)
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(options.images, PIXELS))
    gpu = _timing.on_gpu(options.device)
    with tf.device(options.device):
        timings = _timing.interleave(
            contenders(images.astype("float32"), "cuda" if gpu else "cpu"),
            options.repeats,
            slow_repeats=options.repeats,
        )
    rows = {name: _timing.summary(found) for name, found in timings.items()}
    for name, row in sorted(rows.items(), key=lambda i: i[1]["min_ms"]):
        print(
            f"{name:<36}{row['min_ms']:>9.0f} ms, "
            f"median {row['median_ms']:.0f}, CPU {row['cpu_ms']:.0f}"
        )
    report = {
        "benchmark": "epoch",
        "images": options.images,
        "batch": BATCH,
        "device": options.device,
        "environment": environment,
        "results": [{"name": name, **row} for name, row in rows.items()],
        "targets": targets(rows),
    }
    for target in report["targets"]:
        print(
            f"{target['target']:<32}{target['measured']:>6.2f} "
            f"(medians {target['measured_median']:.2f}, "
            f"CPU time {target['measured_cpu']:.2f}), at most "
            f"{target['limit']}: "
            + ("reached" if target["reached"] else "NOT REACHED")
        )
    _timing.write_json(options.out or (OUT_GPU if gpu else OUT), report)
    return report


if __name__ == "__main__":
    main()
