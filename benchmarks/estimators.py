"""What one estimate costs, beside the evaluations of f that it asks for.

The problem is a decoder of the size of Jang et al.: 20 variables of 10
categories, 256 and 512 hidden units, 784 pixels, binary cross-entropy summed
over the pixels, batch 100. For every estimator that needs no enumeration:

    overhead = time of an estimate and its backward pass
               / (evaluations x time of one forward + backward of f)

with both measured in turns, in one run, in graph mode. Peers (Storchastic and
Pyro, where installed) estimate the same gradient with the same weights. The
variance is that of the gradient in the logits, summed over the coordinates of
an example; `norm` is that of its mean over the draws, and tells whether a
biased or a misscaled estimate is behind a small variance.

Pyro's score function includes log q(z) in the cost, as its ELBO does.

Targets: overhead at most 1.3; at least twice as fast as the peers, at equal
or smaller variance for equal evaluations.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import _peers, _runner
from benchmarks._networks import reconstruction
from benchmarks._peers import Step
from benchmarks._runner import Arguments, Options, Row
from benchmarks._timing import compare, environment
from tfgumbel import estimators

PACKAGES = ["tensorflow", "keras", "torch", "storchastic", "pyro-ppl"]
SIZES = (200, 256, 512, 784)
TARGET_OVERHEAD, TARGET_SPEEDUP = 1.3, 2.0
# A number in a name is of samples.
ESTIMATORS = ["reinforce", "nvil", "rloo-4", "vimco-4", "muprop", "rebar"]
ESTIMATORS += ["relax", "gumbel_softmax", "st", "st_gumbel", "reinmax"]
ESTIMATORS += ["gumbel_rao", "zgr", "gapped", "mve"]
COLUMNS = ["package", "name", "median_ms", "evaluations", "overhead"]
COLUMNS += ["slower_than_tfgumbel", "variance", "norm"]


class Problem:
    """Random weights, images and logits, the same for all contenders."""

    def __init__(self, batch: int) -> None:
        rng = np.random.default_rng(0)
        self.weights: list[np.ndarray] = []
        for inputs, outputs in itertools.pairwise(SIZES):
            kernel = rng.normal(size=(inputs, outputs)) / np.sqrt(inputs)
            bias = np.zeros(outputs, "float32")
            self.weights += [kernel.astype("float32"), bias]
        self.images = rng.random((batch, SIZES[-1]), dtype="float32")
        self.logits = rng.normal(size=(batch, 20, 10)).astype("float32")
        self.variables = [tf.Variable(weight) for weight in self.weights]

    def cost(self, z: tf.Tensor) -> tf.Tensor:
        """F(z) per row, in nats."""
        hidden = tf.reshape(z, [-1, SIZES[0]])
        kernels, biases = self.variables[::2], self.variables[1::2]
        for kernel, bias in zip(kernels[:-1], biases[:-1], strict=True):
            hidden = tf.nn.relu(hidden @ kernel + bias)
        return reconstruction(hidden @ kernels[-1] + biases[-1], self.images)


def evaluation(problem: Problem) -> Step:
    """One forward and backward pass of f, in z and in its weights."""

    @tf.function
    def run(z: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(z)
            total = tf.reduce_sum(problem.cost(z))
        return tape.gradient(total, [z, *problem.variables])

    z = tf.nn.softmax(problem.logits)
    return lambda: run(z)[0].numpy()


def estimate(problem: Problem, name: str) -> tuple[Step, int]:
    """One estimate with its backward pass, and its evaluations of f."""
    name, _, samples = name.partition("-")
    options = {"samples": int(samples)} if samples else {}
    estimator = estimators.get(name, **options)
    estimator.build(problem.logits.shape, problem.logits.shape)
    learned = [v.value for v in estimator.trainable_variables]

    @tf.function
    def run(logits: tf.Tensor, seed: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            cost = estimator(problem.cost, logits, seed)
            total = tf.reduce_sum(cost)
        return tape.gradient(total, [logits, *problem.variables, *learned])

    logits = tf.constant(problem.logits)
    traced = run.get_concrete_function(logits, tf.TensorSpec([2], tf.int64))
    seeds = itertools.count()

    def step() -> np.ndarray:
        seed = tf.constant([next(seeds), 1], tf.int64)
        return traced(logits, seed)[0].numpy()

    return step, estimator.evaluations


def moments(step: Step, draws: int) -> dict[str, float]:
    """Variance per example and norm of the mean gradient."""
    gradients = np.stack([step() for _ in range(draws)])
    mean = gradients.mean(axis=0, dtype="float64")
    square = np.mean(np.square(gradients, dtype="float64"), axis=0)
    variance = (square - mean**2) * draws / (draws - 1)
    return {
        "variance": float(variance.sum() / len(mean)),
        "norm": float(np.sqrt(np.sum(mean**2) / len(mean))),
    }


def measure(options: Options) -> list[Row]:
    """One row per contender."""
    problem = Problem(options.batch)
    ours = {name: estimate(problem, name) for name in options.only}
    steps: dict[Any, Step] = {"f": evaluation(problem)}
    steps |= {("tfgumbel", name): step for name, (step, _) in ours.items()}
    if not options.no_peers:
        given = problem.logits, problem.images, problem.weights
        steps |= _peers.contenders(*given)
    rows: list[Row] = []
    for key in list(steps):
        try:
            steps[key]()
        except (KeyError, RuntimeError, NotImplementedError) as error:
            failed = {"package": key[0], "name": key[1], "error": repr(error)}
            rows.append(failed)
            del steps[key]
    timings = compare(steps, options.repeats)
    unit = timings.pop("f")
    for (package, name), timing in timings.items():
        row = {"package": package, "name": name, **timing}
        row |= moments(steps[package, name], options.draws)
        if package == "tfgumbel":
            row["evaluations"] = ours[name][1]
            least = row["evaluations"] * unit["median_ms"]
            row["overhead"] = timing["median_ms"] / least
        else:
            own = timings.get(("tfgumbel", name))
            row["slower_than_tfgumbel"] = own and (
                timing["median_ms"] / own["median_ms"]
            )
        rows.append(row)
    return [{"package": "-", "name": "f", **unit}, *rows]


def targets(rows: list[Row]) -> list[Row]:
    """Whether the estimates are as fast as they have to be."""
    found = []
    for row in rows:
        name, slower = row["name"], row.get("slower_than_tfgumbel")
        if "overhead" in row:
            check = f"{name}, overhead", row["overhead"], TARGET_OVERHEAD
            found.append(_runner.target(*check))
        elif slower:
            label = f"{name}, {row['package']} / tfgumbel, time"
            found.append(_runner.target(label, slower, TARGET_SPEEDUP, True))
    return found


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("estimators", __doc__)
    add = parser.add_argument
    parser.add_defaults(repeats=25, draws=200, batch=100)
    add("--only", nargs="+", choices=ESTIMATORS, default=ESTIMATORS)
    add("--no-peers", action="store_true")
    options = _runner.parse(parser, arguments)
    rows = measure(options)
    report = {
        "command": options.command,
        "batch": options.batch,
        "environment": environment(PACKAGES),
        "results": rows,
        "targets": [_runner.verdict(target) for target in targets(rows)],
    }
    shown = [{**row, "failed": row.get("error", "")} for row in rows]
    _runner.show(COLUMNS, shown, targets(rows))
    _runner.write(options.out, report)
    return report


if __name__ == "__main__":
    main()
