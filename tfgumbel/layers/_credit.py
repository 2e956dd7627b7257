"""Says which part of the loss each draw of a training step is credited with.

Credits are tensors of the step's own graph, outside all loops, so that a
gradient inside a loop can use them.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfgumbel._precision import nan_unless
from tfgumbel.layers import _graphs
from tfgumbel.layers.draw import Draw
from tfgumbel.layers.shares import Shares


class Credit:
    """What each draw is credited with.

    Args:
        shares: What examples and steps contribute to the total.
        draws: All draws of the training step.
        graph: The graph of the step; `None` in eager mode.
        starts: For each sampler and loop, how often it had drawn before.
    """

    def __init__(
        self,
        shares: Shares,
        draws: Sequence[Draw],
        graph: Any,
        starts: dict[Any, tf.Tensor],
    ) -> None:
        self.batch = shares.batch
        self._shares = shares
        self._draws = draws
        self._graph = graph
        self._starts = starts
        self._sequences = {
            draw.sampler: self._to_go(draw.sampler)
            for draw in draws
            if draw.sampler.credit == "to_go"
        }
        self._local = {
            draw: self._of_its_terms(draw)
            for draw in draws
            if draw.sampler.credit == "local"
        }

    def cost_of(self, draw: Draw) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the costs of a draw, in units of the loss, and weights.

        The share of the total without the 1/B and the sample weight that are
        in it: what a baseline learns.
        """
        share = self._local.get(draw, self._shares.example)
        weights = self._shares.weights
        if draw.sampler in self._sequences:
            share, weights = (
                tf.gather(each, draw.step, axis=1)
                for each in self._sequences[draw.sampler]
            )
        size, drawn = share.shape[0], draw.log_prob.shape[0]
        if None not in (size, drawn) and size != drawn:
            raise ValueError(
                "Every ReinforceSampler of a model must draw once per example. "
                f"Received: {size} examples, and a draw for {drawn} by "
                f"{draw.name!r}"
            )
        cost = tf.math.divide_no_nan(share * self.batch, weights)
        return _one_per_draw(draw, cost), weights

    def _of_its_terms(self, draw: Draw) -> tf.Tensor:
        """The share of the losses that a draw has a part in."""
        if self._graph is not None:
            return self._shares.local(
                lambda tensor: _graphs.descends(
                    self._graph, tensor, [draw.sample]
                )
            )
        if self._shares.terms:
            warnings.warn(
                f'ReinforceSampler {draw.name!r} with credit="local" cannot '
                "tell in eager mode which losses depend on its sample, and is "
                "credited with all of them, which is noisier.",
                stacklevel=2,
            )
        return self._shares.example

    def _to_go(self, sampler: Any) -> tuple[tf.Tensor, tf.Tensor]:
        correct = self._draws_once_per_step(sampler)
        to_go = self._shares.steps_to_go(sampler.discount)
        # Under XLA, which drops assertions, nothing else would tell.
        wrong = nan_unless(correct, to_go.dtype)
        weights = self._shares.weights_to_go(sampler.discount)
        return to_go + wrong, weights + wrong

    def _draws_once_per_step(self, sampler: Any) -> tf.Tensor:
        """Whether a sampler draws once per step; raises where it is known."""
        steps = self._shares.steps
        assert steps is not None
        draws = [draw for draw in self._draws if draw.sampler is sampler]
        _require_order(draws)
        outside = sum(draw.loop is None for draw in draws)
        loops = {draw.loop for draw in draws} - {None}
        if len(loops) + bool(outside) > 1:
            raise ValueError(
                f'ReinforceSampler {sampler.name!r} with credit="to_go" drew '
                "in several places of a training step, so that it is not known "
                "which of its draws belongs to which step. Received: "
                f"{outside} draws outside loops, and {len(loops)} loops"
            )
        expected = (
            f'ReinforceSampler {sampler.name!r} with credit="to_go" must draw '
            "once for each step of the loss."
        )
        known = steps.shape[1]
        if not loops:
            if known not in (None, outside):
                raise ValueError(
                    f"{expected} Received: {outside} draws, and a loss of "
                    f"{known} steps"
                )
            if known is not None:
                return tf.constant(True)
            drawn = tf.constant(outside)
        else:
            (loop,) = loops
            most = _graphs.most_iterations(_graphs.op_of(self._graph, loop))
            if None not in (most, known) and most != known:
                raise ValueError(
                    f"{expected} Received: a loop of at most {most} "
                    f"iterations, and a loss of {known} steps"
                )
            drawn = sampler.count_draws() - self._starts[sampler, loop]
        actual = tf.shape(steps)[1]
        told = tf.debugging.assert_equal(drawn, actual, message=expected)
        with tf.control_dependencies([told] if self._graph else []):
            return tf.equal(drawn, actual)


def _require_order(draws: Sequence[Draw]) -> None:
    """Raises for draws that a functional model makes in an order of its own."""
    for draw, later in itertools.pairwise(draws):
        for node, other in zip(draw.nodes, later.nodes, strict=False):
            if node is not other and not _comes_after(other, node):
                raise ValueError(
                    f'ReinforceSampler {draw.name!r} with credit="to_go" was '
                    "called at places of a functional model that do not depend "
                    "on each other. Keras runs these in an order of its own, "
                    "so that it is not known which draw belongs to which step. "
                    "Call it in the cell of a `keras.layers.RNN`, or in the "
                    "`call` of a layer or model of your own"
                )


def _comes_after(node: Any, earlier: Any) -> bool:
    """Whether a node of a functional model depends on another."""
    left, seen = [node], set()
    while left:
        one = left.pop()
        if one is earlier:
            return True
        if one not in seen:
            seen.add(one)
            left += one.parent_nodes
    return False


def _one_per_draw(draw: Draw, cost: tf.Tensor) -> tf.Tensor:
    """The costs; stops the step, at the latest, if there are other draws."""
    if draw.loop or None not in (draw.log_prob.shape[0], cost.shape[0]):
        return cost
    right = tf.debugging.assert_equal(
        tf.size(draw.log_prob),
        tf.size(cost),
        f"ReinforceSampler {draw.name!r} must draw once per example. Put "
        "several draws of an example on an axis after that of the batch",
    )
    with tf.control_dependencies([right]):
        return tf.identity(cost)
