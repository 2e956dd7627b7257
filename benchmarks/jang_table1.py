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
every figure. SBN: temperature 1. VAE and annealed ST: max(0.5, exp(-1e-4 t)),
updated every 500 steps. `--optimizer adam` is ours: Adam on a cosine to 0; and
so is `--train-samples m`, which trains an SBN on -log 1/m sum_i p(lower | h_i).

With two layers the estimators are nested (`benchmarks/_networks.py`): RLOO
takes 2 samples in each layer. MuProp expands the cost of a mean-field pass, and
its learning signal is centred and normalised as that of SF; `muprop_nested` is
this package's estimator, which expands a sampled downstream cost.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks
from benchmarks._training import STATE, Group, Record, Trainer, train
from tfgumbel import estimators
from tfgumbel.diagnostics.estimates import seeded, step_seed
from tfgumbel.estimators import relaxation
from tfgumbel.schedules import ExponentialAnnealing

OUT = Path(__file__).parent / "results" / "jang_table1.json"
HALF = 392
ANNEALING = {"rate": 1e-4, "minimum": 0.5, "every": 500}


class Task(NamedTuple):
    """One row of the table."""

    kind: str
    distribution: str
    layers: list[tuple[int, ...]]


TASKS = {
    "sbn-bernoulli": Task("sbn", "bernoulli", [(200,), (200,)]),
    "sbn-categorical": Task("sbn", "categorical", [(20, 10), (20, 10)]),
    "vae-bernoulli": Task("vae", "bernoulli", [(200,)]),
    "vae-categorical": Task("vae", "categorical", [(20, 10)]),
}
# By label: the estimator, what it is made with. `None` is the score function
# with NVIL's baselines and variance normalisation, as the paper uses it.
ESTIMATORS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "sf": (None, {}),
    "muprop": (None, {"expands": True}),
    "muprop_nested": ("muprop", {}),
    "st": ("st", {}),
    "annealed_st": ("st", {}),
    "gumbel_softmax": ("gumbel_softmax", {}),
    "st_gumbel": ("st_gumbel", {}),
    "reinmax": ("reinmax", {}),
    "gumbel_rao": ("gumbel_rao", {}),
    "zgr": ("zgr", {}),
    "rloo": ("rloo", {"samples": 2}),
    "rebar": ("rebar", {}),
    "disarm": ("disarm", {}),
}
ANNEALED = ("gumbel_softmax", "st_gumbel", "gumbel_rao")


def applicable(label: str, task: str) -> bool:
    """Whether the estimator does the task's distribution."""
    name, _ = ESTIMATORS[label]
    law = TASKS[task].distribution
    return name is None or name in estimators.available(law)


def make_nodes(label: str, network: _networks.Network) -> list[Any]:
    """An estimator for every stochastic layer, built."""
    name, arguments = ESTIMATORS[label]
    nodes = []
    for index, shape in enumerate(network.layers):
        context = (None, network.dense[index].kernel.shape[0])
        if index:
            context = (None, *network.layers[index - 1])
        node = (
            _networks.ScoreFunction(network.distribution, **arguments)
            if name is None
            else estimators.get(
                name, distribution=network.distribution, **arguments
            )
        )
        node.build((None, *shape), context)
        nodes.append(node)
    return nodes


def evaluations(nodes: Sequence[Any]) -> int:
    """Passes through the layers below, of one step, mean-field ones too."""
    expansions = sum(getattr(node, "expands", False) for node in nodes)
    return math.prod(node.evaluations for node in nodes) + expansions


def schedule(label: str, kind: str) -> ExponentialAnnealing | None:
    """The temperature over the steps, or `None` for that of the estimator."""
    if label == "annealed_st" or (label in ANNEALED and kind == "vae"):
        return ExponentialAnnealing(1.0, **ANNEALING)
    return None


def make_loss(
    task: Task,
    network: _networks.Network,
    nodes: Sequence[Any],
    annealing: Callable[[tf.Tensor], tf.Tensor] | None,
    seed: int,
    samples: int = 1,
) -> Callable[[Any, tf.Tensor], tf.Tensor]:
    """What is descended.

    With several samples, -log 1/m Σ_i p(targets | h_i) of an SBN: a function
    of m costs, whose gradient reaches the samples themselves only with the
    estimators that pass through them.
    """
    whole = (
        task.kind == "vae"
        and isinstance(nodes[0], _networks.ScoreFunction)
        and not nodes[0].expands
    )
    through = all(isinstance(node, relaxation.Relaxation) for node in nodes)
    if samples > 1 and (task.kind != "sbn" or not through):
        raise ValueError(
            "Training on several samples is for SBNs and estimators that "
            f"pass through the sample. Received: --train-samples {samples}"
        )

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        if annealing is not None:
            for node in nodes:
                node.temperature.assign(annealing(step))
        inputs, targets = halves(task, tf.cast(batch[0], tf.float32))
        if whole:
            own = step_seed(seed, step)
            found = _networks.sampled_elbo(network, nodes[0], inputs, own)
            return tf.reduce_mean(found)
        inputs = estimators.estimator.repeat(inputs, samples)
        cost = network.loss(nodes, inputs, targets, step_seed(seed, step))
        if samples > 1:
            terms = tf.reshape(-cost, [samples, -1])
            cost = -_networks.log_mean_exp(terms)
        if task.kind == "vae":
            logits = network.logits(0, inputs)
            cost += _networks.divergence(network, logits)
        return tf.reduce_mean(cost)

    return loss


def halves(task: Task, images: Any) -> tuple[Any, Any]:
    """What the network sees, and what it is to predict."""
    if task.kind == "vae":
        return images, images
    return images[:, :HALF], images[:, HALF:]


def negative_bound(
    task: Task,
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
        terms, *halves(task, images), samples, xla=xla
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
    task = TASKS[name]
    rate = options.learning_rate
    inputs = 784 if task.kind == "vae" else HALF
    with seeded(seed):
        network = _networks.Network(
            inputs, task.layers, inputs, task.distribution
        )
        nodes = make_nodes(label, network)
    others = [v for node in nodes for v in node.non_trainable_variables]
    controls = [v for node in nodes for v in node.trainable_variables]
    groups = [
        Group(optimizer(options, rate), network.weights),
        Group(keras.optimizers.Adam(1e-3), controls),
    ]
    loss = make_loss(
        task,
        network,
        nodes,
        schedule(label, task.kind),
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
        "evaluations": options.train_samples * evaluations(nodes),
        "treatment": f"fixed binarisation, seed {_mnist.BINARIZATION_SEED}",
        "bound": f"{options.samples}-sample test bound",
    }
    key = f"{name}/{label}/{options.optimizer} {rate:g}"
    if options.optimizer == "adam":
        key += f" to 0 in {options.steps}"
    if options.finish:
        key += f", {rate / 10:g} from {options.steps - options.finish}"
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
    add("--tasks", nargs="+", choices=TASKS, default=list(TASKS))
    add("--estimators", nargs="+", choices=ESTIMATORS, metavar="NAME")
    add("--seeds", nargs="+", type=int, default=[0])
    add("--steps", type=int, default=500_000)
    add("--optimizer", choices=["sgd", "adam"], default="sgd")
    add("--learning-rate", type=float, default=1e-3)
    add("--finish", type=int, default=0, help="of SGD: at a tenth the rate")
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
    labels = options.estimators or list(ESTIMATORS)
    for seed, name, label in itertools.product(
        options.seeds, options.tasks, labels
    ):
        if applicable(label, name):
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
    words += ["--test-images", str(options.test_images)]
    if options.train_samples > 1:
        words += ["--train-samples", str(options.train_samples)]
    return " ".join(words)


if __name__ == "__main__":
    main()
