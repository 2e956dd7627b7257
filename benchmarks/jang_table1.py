"""Table 1 of Jang, Gu & Poole 2017: structured prediction and VAEs on MNIST.

`sbn-bernoulli` and `sbn-categorical` predict the lower half of a digit from
the upper one, through two stochastic layers: 392-200-200-392 bits or
392-(20x10)-(20x10)-392. The loss is -log p(lower | h) at one sample h of
p(h | upper). `vae-bernoulli` and `vae-categorical` are 784-200-784 and
784-(20x10)-784 with a uniform prior. The loss is -ELBO with the KL divergence
in closed form, but for SF. RESULTS.md has the figure that is measured, what
the options stand for, and what the paper leaves open. (It prints the mean of
the logarithms; with m = 1000 that would be the training loss, and ARM's rerun
of the table has the logarithm of the mean, too.)

50,000 images train, 10,000 validate, in batches of 100 (the paper gives none).
`--finish N` does the last N steps of SGD at a tenth of the rate;
`--train-samples m` trains an SBN on -log 1/m sum_i p(lower | h_i).

With two layers the estimators are nested: RLOO takes 2 samples in each. The
temperature is 1 on an SBN, and max(0.5, exp(-r t)) on a VAE, updated every 500
steps; its inverse is the slope of annealed ST, in all tasks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _mnist, _networks, _runner, _training
from benchmarks._runner import Arguments, Options, Row
from benchmarks._training import Trainer
from tfgumbel import estimators
from tfgumbel.diagnostics.estimates import seeded, step_seed
from tfgumbel.estimators.algebra import log_mean_exp, repeat
from tfgumbel.schedules import ExponentialAnnealing

HALF = 392
ANNEALING_RATE = 1e-4


class Task(NamedTuple):
    """One row of the table."""

    kind: str
    distribution: str
    layers: list[tuple[int, ...]]

    def network(self) -> _networks.Network:
        """A fresh one."""
        size = 2 * HALF if self.kind == "vae" else HALF
        return _networks.Network(size, self.layers, size, self.distribution)

    def terms(self, network: _networks.Network) -> Callable[..., tf.Tensor]:
        """Of whose exponentials the figure has the mean."""
        vae, sbn = _networks.log_weights, _networks.log_likelihoods
        return partial(vae if self.kind == "vae" else sbn, network)


TASKS = {
    "sbn-bernoulli": Task("sbn", "bernoulli", [(200,), (200,)]),
    "sbn-categorical": Task("sbn", "categorical", [(20, 10), (20, 10)]),
    "vae-bernoulli": Task("vae", "bernoulli", [(200,)]),
    "vae-categorical": Task("vae", "categorical", [(20, 10)]),
}
ANNEALED = ("gumbel_softmax", "st_gumbel", "gumbel_rao")
# By label: the estimator, what it is made with. `None` is the score function
# with NVIL's baselines and variance normalisation, as the paper uses it.
ESTIMATORS: dict[str, tuple[str | None, dict[str, Any]]] = {
    "sf": (None, {}),
    "muprop": (None, {"expands": True}),
    "muprop_unscaled": (None, {"expands": True, "normalize": False}),
    "muprop_nested": ("muprop", {}),
    "st": ("st", {}),
    "annealed_st": ("st", {}),
    "annealed_st_backward": ("st", {}),
    **{name: (name, {}) for name in (*ANNEALED, "reinmax", "zgr")},
    "rloo": ("rloo", {"samples": 2}),
    "rebar": ("rebar", {}),
    "disarm": ("disarm", {}),
}


def applicable(label: str, task: str) -> bool:
    """Whether the estimator does the task's distribution."""
    name, _ = ESTIMATORS[label]
    distribution = TASKS[task].distribution
    return name is None or name in estimators.available(distribution)


def make_nodes(label: str, network: _networks.Network) -> list[Any]:
    """An estimator for every stochastic layer, built."""
    name, options = ESTIMATORS[label]
    arguments = {"distribution": network.distribution, **options}
    make = partial(estimators.get, name) if name else _networks.ScoreFunction
    nodes: list[Any] = []
    below = network.dense[0].kernel.shape[:1]
    for shape in network.layers:
        nodes.append(make(**arguments))
        nodes[-1].build((None, *shape), (None, *below))
        below = shape
    return nodes


def evaluations(nodes: Sequence[Any]) -> int:
    """Passes through the layers below, of one step, mean-field ones too."""
    expansions = sum(getattr(node, "expands", False) for node in nodes)
    return math.prod(node.evaluations for node in nodes) + expansions


def schedule(label: str, kind: str, rate: float) -> ExponentialAnnealing | None:
    """Of the temperature, or of the inverse of annealed ST's slope."""
    if label.startswith("annealed_st") or (label in ANNEALED and kind == "vae"):
        return ExponentialAnnealing(1.0, rate=rate, minimum=0.5, every=500)
    return None


def make_annealing(
    label: str,
    kind: str,
    rate: float,
    network: _networks.Network,
    nodes: Sequence[Any],
) -> Callable[[tf.Tensor], None] | None:
    """Sets what changes with the step; `None` where nothing does."""
    values = schedule(label, kind, rate)
    if values is None:
        return None

    def anneal(step: tf.Tensor) -> None:
        if label == "annealed_st":
            network.slope.assign(1.0 / values(step))
            return
        for node in nodes:
            node.temperature = values(step)

    return anneal


def make_loss(
    task: Task,
    network: _networks.Network,
    nodes: Sequence[Any],
    anneal: Callable[[tf.Tensor], None] | None,
    seed: int,
    samples: int = 1,
) -> Callable[[Any, tf.Tensor], tf.Tensor]:
    """What is descended, as a function of the batch and the step.

    With several samples, -log 1/m Σ_i p(targets | h_i) of an SBN: a function
    of m costs, whose gradient reaches the samples themselves only with the
    estimators that pass through them.
    """
    vae, first = task.kind == "vae", nodes[0]
    whole = isinstance(first, _networks.ScoreFunction) and not first.expands
    # Whether the gradient is f's own: of these variables, a biased one.
    through = not any(node.unbiased for node in nodes)
    if samples > 1 and (task.kind != "sbn" or not through):
        raise ValueError(
            "Training on several samples is for SBNs and estimators that "
            f"pass through the sample. Received: --train-samples {samples}"
        )

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        if anneal is not None:
            anneal(step)
        inputs, targets = halves(task, tf.cast(batch[0], tf.float32))
        own = step_seed(seed, step)
        if vae and whole:
            found = _networks.sampled_elbo(network, first, inputs, own)
            return tf.reduce_mean(found)
        inputs = repeat(inputs, samples)
        cost = network.loss(nodes, inputs, targets, own)
        if samples > 1:
            cost = -log_mean_exp(tf.reshape(-cost, [samples, -1]))
        if vae:
            logits = network.logits(0, inputs)
            cost += _networks.divergence(network, logits)
        return tf.reduce_mean(cost)

    return loss


def halves(task: Task, images: Any) -> tuple[Any, Any]:
    """What the network sees, and what it is to predict."""
    if task.kind == "vae":
        return images, images
    return images[:, :HALF], images[:, HALF:]


def optimizer(options: Options) -> keras.optimizers.Optimizer:
    """The paper's, or ours."""
    rate, schedules = options.learning_rate, keras.optimizers.schedules
    if options.optimizer == "adam":
        return keras.optimizers.Adam(schedules.CosineDecay(rate, options.steps))
    if options.finish:
        rate = schedules.PiecewiseConstantDecay(
            [options.steps - options.finish - 1], [rate, rate / 10]
        )
    return keras.optimizers.SGD(rate, momentum=0.9)


def key(name: str, label: str, seed: int, options: Options) -> str:
    """What tells a run from others."""
    rate, annealing = options.learning_rate, options.annealing
    text = f"{name}/{label}/{options.optimizer} {rate:g}"
    if options.optimizer == "adam":
        text += f" to 0 in {options.steps}"
    if options.finish:
        text += f", {rate / 10:g} from {options.steps - options.finish}"
    anneals = schedule(label, TASKS[name].kind, annealing)
    if anneals and annealing != ANNEALING_RATE:
        text += f"/annealed by {annealing:g}"
    if options.train_samples > 1:
        text += f"/{options.train_samples} samples"
    return f"{text}/seed {seed}"


def run(
    name: str,
    label: str,
    seed: int,
    images: tuple[np.ndarray, np.ndarray],
    options: Options,
) -> Row:
    """One task, one estimator, one seed."""
    task = TASKS[name]
    with seeded(seed):
        network = task.network()
        nodes = make_nodes(label, network)
    rate = options.annealing
    anneal = make_annealing(label, task.kind, rate, network, nodes)
    held_out = len(images[0]) // 6
    training, validation = images[0][:-held_out], images[0][-held_out:]
    test = images[1][: options.test_images]
    controls = [v for node in nodes for v in node.trainable_variables]
    others = [v for node in nodes for v in node.non_trainable_variables]
    made = task, network, nodes, anneal, seed
    own = keras.optimizers.Adam(1e-3), controls
    trainer = Trainer(
        make_loss(*made, options.train_samples),
        _mnist.feed([training], options.batch, seed),
        [(optimizer(options), network.weights), own],
        [*others, network.slope],
        options.xla,
    )
    names = ("optimizer", "learning_rate", "finish", "batch", "train_samples")
    facts = {
        "task": name,
        "estimator": label,
        "seed": seed,
        **{fact: getattr(options, fact) for fact in names},
        "evaluations": options.train_samples * evaluations(nodes),
        "treatment": f"fixed binarisation, seed {_mnist.BINARIZATION_SEED}",
        "bound": f"{options.samples}-sample test bound",
    }
    if anneal:
        facts["annealing"] = rate

    def bound(images: np.ndarray, samples: int) -> tuple[float, float]:
        terms, given = task.terms(network), halves(task, images)
        return _networks.negative_bound(terms, *given, samples, xla=options.xla)

    def final(curve: Row) -> Row:
        if not options.test_images:
            return {}
        value, error = bound(test, options.samples)
        return {"test": value, "test_se": error, "test_images": len(test)}

    return _training.train(
        trainer,
        key(name, label, seed, options),
        facts,
        options,
        lambda: {"validation": bound(validation, 10)[0]},
        final,
        lambda found: found.get("test_images", 0) >= options.test_images,
    )


def main(arguments: Arguments = None) -> Row:
    """Trains what the JSON does not hold yet."""
    made = "jang_table1", __doc__, ESTIMATORS, 500_000, 5000
    parser = _training.parser(*made)
    parser.add_choices(tasks=TASKS)
    add = parser.add_argument
    add("--optimizer", choices=["sgd", "adam"], default="sgd")
    parser.add_defaults(learning_rate=1e-3)
    add("--finish", type=int, default=0, help="of SGD: at a tenth the rate")
    parser.add_defaults(annealing=ANNEALING_RATE, batch=100)
    parser.add_defaults(samples=1000, test_images=10_000, train_samples=1)
    options = _runner.parse(parser, arguments)
    if options.finish and options.optimizer != "sgd":
        parser.error("--finish is for SGD; Adam's rate falls to 0 anyway.")
    data, first = _mnist.load(options.mnist), _mnist.BINARIZATION_SEED
    training = _mnist.binarize(data["x_train"], first)
    images = training, _mnist.binarize(data["x_test"], first + 1)
    for seed, name, label in itertools.product(
        options.seeds, options.tasks, options.estimators
    ):
        if applicable(label, name):
            run(name, label, seed, images, options)
    return _runner.read(options.out, {})


if __name__ == "__main__":
    main()
