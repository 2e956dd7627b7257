"""Table 1 of Jang, Gu & Poole 2017: structured prediction and VAEs on MNIST.

    python -m benchmarks.jang_table1 [--mnist FILE] [--tasks sbn-bernoulli ...]
        [--estimators NAME ...] [--seeds 0] [--steps N] [--optimizer sgd]
        [--learning-rate R] [--finish N] [--test-images N] [--out FILE]

`sbn-bernoulli` and `sbn-categorical` predict the lower half of a digit from
the upper one, through two stochastic layers: 392-200-200-392 bits or
392-(20x10)-(20x10)-392. The loss is -log p(lower | h) at one sample h of
p(h | upper); the figure is -log 1/m sum_i p(lower | h_i), m = 1000, on the
test images. (The paper prints the mean of the logarithms; with m = 1000 that
would be the training loss, and ARM's rerun of the table takes the logarithm of
the mean, as here.)

`vae-bernoulli` and `vae-categorical` are 784-200-784 and 784-(20x10)-784 with
a uniform prior. The loss is -ELBO with the KL divergence in closed form, but
for SF, whose learning signal is the whole -ELBO at the sample: normalised
without the divergence, it descends another bound, in which that weighs more.
The figure is -log 1/m sum_i p(x, z_i) / q(z_i | x), m = 1000, on the test
images.

Fixed binarisation: each pixel drawn once, by a literal seed, and kept; it is
not the authors' own file. 50,000 images train, 10,000 validate. SGD with
momentum 0.9, batch 100 (the paper gives none); the learning rate is the best
of a few on the validation images. At a constant rate SGD keeps a floor of
noise: `--finish N` does the last N steps at a tenth of it. Samples are exact in
every figure. `--optimizer adam` is ours: Adam on a cosine to 0; and so is
`--train-samples m`, which trains an SBN on -log 1/m sum_i p(lower | h_i).

SBN: temperature 1. VAE: max(0.5, exp(-r t)), updated every 500 steps, with
r = 1e-4 or what `--annealing` says. Annealed ST, in all tasks, multiplies the
logits by the inverse of that: sample and gradient are those of the steeper
probabilities. `annealed_st_backward` is steeper in the gradient alone.

With two layers the estimators are nested (`benchmarks/_networks.py`): RLOO
takes 2 samples in each layer. MuProp expands the cost of a mean-field pass, and
its learning signal is centred and normalised as that of SF. On the VAEs that
biases it, since neither slope nor divergence are divided: `muprop_unscaled` is
the same without. `muprop_nested` is this package's estimator, which expands a
sampled downstream cost.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks, _tasks
from benchmarks._training import STATE, Group, Record, Trainer, train
from tfgumbel.diagnostics.estimates import seeded

OUT = Path(__file__).parent / "results" / "jang_table1.json"


def negative_bound(
    task: _tasks.Task,
    network: _networks.Network,
    images: np.ndarray,
    samples: int,
    xla: bool = True,
) -> tuple[float, float]:
    """The figure of the table, and its error over the images."""

    def terms(inputs: Any, targets: Any, count: int, seed: Any) -> tf.Tensor:
        if task.kind == "vae":
            return _networks.log_weights(network, inputs, count, seed)
        return _networks.log_likelihoods(network, inputs, targets, count, seed)

    return _networks.negative_bound(
        terms, *_tasks.halves(task, images), samples, xla=xla
    )


def optimizer(
    options: argparse.Namespace, rate: float
) -> keras.optimizers.Optimizer:
    """The paper's, or ours."""
    schedules = keras.optimizers.schedules
    if options.optimizer == "sgd":
        if options.finish:
            rate = schedules.PiecewiseConstantDecay(
                [options.steps - options.finish - 1], [rate, rate / 10]
            )
        return keras.optimizers.SGD(rate, momentum=0.9)
    return keras.optimizers.Adam(schedules.CosineDecay(rate, options.steps))


def run(
    name: str,
    label: str,
    seed: int,
    images: tuple[np.ndarray, np.ndarray],
    options: argparse.Namespace,
    record: Record,
) -> dict[str, Any]:
    """One task, one estimator, one seed."""
    task = _tasks.TASKS[name]
    rate = options.learning_rate
    inputs = 784 if task.kind == "vae" else _tasks.HALF
    with seeded(seed):
        network = _networks.Network(
            inputs, task.layers, inputs, task.distribution
        )
        nodes = _tasks.make_nodes(label, network)
    others = [v for node in nodes for v in node.non_trainable_variables]
    others.append(network.slope)
    controls = [v for node in nodes for v in node.trainable_variables]
    groups = [
        Group(optimizer(options, rate), network.weights),
        Group(keras.optimizers.Adam(1e-3), controls),
    ]
    loss = _tasks.make_loss(
        task,
        network,
        nodes,
        _tasks.make_annealing(
            label, task.kind, options.annealing, network, nodes
        ),
        seed,
        options.train_samples,
    )
    held_out = len(images[0]) // 6
    training, validation = images[0][:-held_out], images[0][-held_out:]
    trainer = Trainer(
        loss,
        _mnist.feed([training], options.batch, seed),
        groups,
        others,
        options.xla,
    )
    facts = {
        "task": name,
        "estimator": label,
        "optimizer": options.optimizer,
        "learning_rate": rate,
        "finish": options.finish,
        "seed": seed,
        "batch": options.batch,
        "train_samples": options.train_samples,
        "evaluations": options.train_samples * _tasks.evaluations(nodes),
        "treatment": f"fixed binarisation, seed {_mnist.BINARIZATION_SEED}",
        "bound": f"{options.samples}-sample test bound",
    }
    key = f"{name}/{label}/{options.optimizer} {rate:g}"
    if options.optimizer == "adam":
        key += f" to 0 in {options.steps}"
    if options.finish:
        key += f", {rate / 10:g} from {options.steps - options.finish}"
    if _tasks.schedule(label, task.kind, options.annealing):
        facts["annealing"] = options.annealing
        if options.annealing != _tasks.ANNEALING_RATE:
            key += f"/annealed by {options.annealing:g}"
    if options.train_samples > 1:
        key += f"/{options.train_samples} samples"
    test = images[1][: options.test_images]

    def evaluate() -> dict[str, float]:
        value, _ = negative_bound(task, network, validation, 10, options.xla)
        return {"validation": value}

    def final() -> dict[str, float]:
        if not options.test_images:
            return {}
        value, error = negative_bound(
            task, network, test, options.samples, options.xla
        )
        return {"test": value, "test_se": error, "test_images": len(test)}

    return train(
        trainer,
        record,
        f"{key}/seed {seed}",
        facts,
        options.steps,
        options.every,
        evaluate,
        final,
        options.state,
        lambda found: found.get("test_images", 0) >= options.test_images,
    )


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Trains what the JSON does not hold yet."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    add = parser.add_argument
    add("--mnist", metavar="FILE")
    add("--tasks", nargs="+", choices=_tasks.TASKS, default=list(_tasks.TASKS))
    add("--estimators", nargs="+", choices=_tasks.ESTIMATORS, metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--steps", type=int, default=500_000)
    add("--optimizer", choices=["sgd", "adam"], default="sgd")
    add("--learning-rate", type=float, default=1e-3)
    add("--finish", type=int, default=0, help="of SGD: at a tenth the rate")
    add("--annealing", type=float, default=_tasks.ANNEALING_RATE)
    add("--batch", type=int, default=100)
    add("--every", type=int, default=5000)
    add("--samples", type=int, default=1000)
    add("--test-images", type=int, default=10_000)
    add("--train-samples", type=int, default=1)
    add("--no-xla", dest="xla", action="store_false")
    add("--state", type=Path, default=STATE / "jang_table1")
    add("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    if options.finish and options.optimizer != "sgd":
        parser.error("--finish is for SGD; Adam's rate falls to 0 anyway.")
    data = _mnist.load(options.mnist)
    images = (
        _mnist.binarize(data["x_train"]),
        _mnist.binarize(data["x_test"], _mnist.BINARIZATION_SEED + 1),
    )
    record = Record(options.out, command(options))
    labels = options.estimators or list(_tasks.ESTIMATORS)
    for seed, name, label in itertools.product(
        options.seeds, options.tasks, labels
    ):
        if _tasks.applicable(label, name):
            run(name, label, seed, images, options, record)
            keras.backend.clear_session()
    return record.read()


def command(options: argparse.Namespace) -> str:
    """The command that makes these runs, wherever the images are."""
    words = ["python -m benchmarks.jang_table1 --tasks", *options.tasks]
    if options.estimators:
        words += ["--estimators", *options.estimators]
    words += ["--seeds", *map(str, options.seeds)]
    words += ["--steps", str(options.steps), "--optimizer", options.optimizer]
    words += ["--learning-rate", f"{options.learning_rate:g}"]
    if options.finish:
        words += ["--finish", str(options.finish)]
    if options.annealing != _tasks.ANNEALING_RATE:
        words += ["--annealing", f"{options.annealing:g}"]
    words += ["--test-images", str(options.test_images)]
    if options.train_samples > 1:
        words += ["--train-samples", str(options.train_samples)]
    return " ".join(words)


if __name__ == "__main__":
    main()
