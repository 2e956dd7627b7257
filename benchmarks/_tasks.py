"""What Jang, Gu & Poole's table compares: tasks, estimators, and the loss.

RESULTS.md says what an estimator is beside its name. With two layers they are
nested: RLOO takes 2 samples in each. The temperature is 1 on an SBN, and
max(0.5, exp(-r t)) on a VAE, updated every 500 steps; its inverse is the slope
of annealed ST, in all tasks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import tensorflow as tf

from benchmarks import _networks
from tfgumbel import estimators
from tfgumbel.diagnostics.estimates import step_seed
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
    distribution = TASKS[task].distribution
    return name is None or name in estimators.available(distribution)


def make_nodes(label: str, network: _networks.Network) -> list[Any]:
    """An estimator for every stochastic layer, built."""
    name, options = ESTIMATORS[label]
    arguments = {"distribution": network.distribution, **options}
    nodes: list[Any] = []
    below = network.dense[0].kernel.shape[:1]
    for shape in network.layers:
        node = (
            _networks.ScoreFunction(**arguments)
            if name is None
            else estimators.get(name, **arguments)
        )
        node.build((None, *shape), (None, *below))
        nodes.append(node)
        below = shape
    return nodes


def passes_through_the_sample(node: Any) -> bool:
    """Whether the gradient is f's own: of these variables, a biased one."""
    return getattr(node, "needs_gradient", False) and not node.unbiased


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
    whole = (
        task.kind == "vae"
        and isinstance(nodes[0], _networks.ScoreFunction)
        and not nodes[0].expands
    )
    through = all(passes_through_the_sample(node) for node in nodes)
    if samples > 1 and (task.kind != "sbn" or not through):
        raise ValueError(
            "Training on several samples is for SBNs and estimators that "
            f"pass through the sample. Received: --train-samples {samples}"
        )

    def loss(batch: Any, step: tf.Tensor) -> tf.Tensor:
        if anneal is not None:
            anneal(step)
        inputs, targets = halves(task, tf.cast(batch[0], tf.float32))
        if whole:
            own = step_seed(seed, step)
            found = _networks.sampled_elbo(network, nodes[0], inputs, own)
            return tf.reduce_mean(found)
        inputs = repeat(inputs, samples)
        cost = network.loss(nodes, inputs, targets, step_seed(seed, step))
        if samples > 1:
            terms = tf.reshape(-cost, [samples, -1])
            cost = -log_mean_exp(terms)
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
