"""Times `fit` on the categorical VAE beside the same model built otherwise.

One call is one epoch of training, with the settings of Jang et al.:
784-512-256, twenty variables of ten categories, batches of 100, Adam.
Contenders take turns: `GumbelSoftmax` in a `keras.Model`; a Keras layer around
TFP's `RelaxedOneHotCategorical`; one written by hand as one finds it;
`F.gumbel_softmax` in an eager loop of PyTorch; and a softmax in place of the
sampler. No layer for `fit` can take less: what is above it is the sampler's
share, what is below it Keras's.

They run op by op in a graph (`jit_compile=False`); "tfgumbel, XLA" is the first
one as `compile` makes it by default. Then what `StochasticModel.fit` costs: the
same layers under `keras.Model` and under `StochasticModel`, and a
`ReinforceSampler` without baseline beside the straight-through layer.

Ratios are of the fastest rounds: in some epochs Keras's `fit` stands still for
about a second without using the processor, whatever the layers are.
"""

from __future__ import annotations

import itertools
from functools import partial
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _runner, _samplers, _timing
from benchmarks._runner import Arguments, Call, Row
from benchmarks._samplers import TEMPERATURE

PACKAGES = [*_runner.PACKAGES, "tensorflow-probability", "torch"]
BATCH, PIXELS, HIDDEN, CODE = 100, 784, (512, 256), (20, 10)
OURS, TFP, HAND, TORCH = "tfgumbel", "TFP", "hand-written", "torch"
STOCHASTIC = "StochasticModel"
FLOOR, XLA = "Keras, no noise", "tfgumbel, XLA"
ST, REINFORCE = "st in keras.Model", "ReinforceSampler in StochasticModel"
OVERHEAD, NOISE = 1.15, 1.05
# By target: what is to take at most so much of what.
PAIRS = {
    f"epoch / {TFP}": (OURS, TFP, 1.0),
    f"epoch / {HAND}": (OURS, HAND, 1.0),
    f"epoch / {TORCH}": (OURS, TORCH, 1.0),
    "epoch / no noise": (OURS, FLOOR, NOISE),
    "epoch under XLA / torch": (XLA, TORCH, 1.0),
    "StochasticModel / keras.Model": (STOCHASTIC, OURS, OVERHEAD),
    "REINFORCE / straight-through": (REINFORCE, ST, OVERHEAD),
}
COLUMNS = ["name", "min_ms", "median_ms", "cpu_ms"]


def fit(sampler: Any, images: np.ndarray, *options: Any) -> Call:
    """A call that trains for an epoch."""
    vae = _samplers.vae(sampler, PIXELS, HIDDEN, CODE, *options)
    return partial(vae.fit, images, images, batch_size=BATCH, verbose=0)


def torch_epoch(images: np.ndarray, place: str) -> Call:
    """The same model and epoch in PyTorch."""
    import torch
    from torch import nn
    from torch.nn import functional

    def perceptron(*sizes: int) -> Any:
        layers: list[Any] = []
        for ends in itertools.pairwise(sizes):
            layers += [nn.Linear(*ends), nn.ReLU()]
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


def contenders(images: np.ndarray, place: str) -> dict[str, Call]:
    """Epochs by name, of those that can run here."""
    ours, model = tg.GumbelSoftmax, tg.StochasticModel
    straight_through = tg.StraightThroughCategorical("st", TEMPERATURE)
    found = {
        OURS: fit(ours(TEMPERATURE), images),
        HAND: fit(_samplers.HandWritten(), images),
        FLOOR: fit(_samplers.NoNoise(), images),
        XLA: fit(ours(TEMPERATURE), images, keras.Model, True),
        STOCHASTIC: fit(ours(TEMPERATURE), images, model),
        ST: fit(straight_through, images),
        REINFORCE: fit(tg.ReinforceSampler(baseline=None), images, model),
    }
    if _runner.installed("tensorflow_probability"):
        found[TFP] = fit(_samplers.TFPLayer(), images)
    if _runner.installed("torch"):
        found[TORCH] = torch_epoch(images, place)
    return found


def targets(rows: dict[str, Row]) -> list[Row]:
    """Whether the epoch is the fastest, and the overhead small."""
    found = []
    for label, (name, to, limit) in PAIRS.items():
        if to in rows:
            least, median, cpu = (
                round(rows[name][figure] / rows[to][figure], 3)
                for figure in ("min_ms", "median_ms", "cpu_ms")
            )
            more = {"measured_median": median, "measured_cpu": cpu}
            found.append(_runner.target(label, least, limit, **more))
    return found


def main(arguments: Arguments = None) -> Row:
    defaults = {"repeats": 7, "images": 10_000}
    parser = _runner.parser("epoch", __doc__, device=True, **defaults)
    options = _runner.parse(parser, arguments)
    keras.utils.set_random_seed(0)
    generator = np.random.default_rng(0)
    images = generator.uniform(size=(options.images, PIXELS)).astype("float32")
    place = "cuda" if options.device == "GPU:0" else "cpu"
    with tf.device(options.device):
        calls, rounds = contenders(images, place), options.repeats
        found = _timing.compare(calls, rounds, slow_repeats=rounds)
    rows = [{"name": name, **row} for name, row in found.items()]
    rows.sort(key=lambda row: row["min_ms"])
    facts = {"images": len(images), "batch": BATCH, "device": options.device}
    reached = targets(found)
    return _runner.finish(options, COLUMNS, rows, reached, PACKAGES, **facts)


if __name__ == "__main__":
    main()
