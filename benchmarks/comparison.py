"""Every estimator on two problems: cost after training, bias and variance.

`quadratic` is the toy of ReinMax: E 1/L sum_l (z_l - 0.45)^2, L = 128
Bernoulli variables from probability 1/2, 64 samples a step, Adam 1e-3, 8,000
steps. Its cost and its gradient have closed forms; the minimum is 0.2025.

`vae` is a VAE on scikit-learn's 8x8 digits with 4 variables of 8 classes, as
in ReinMax, small enough to enumerate, 4,000 steps of 50 images. Its cost is
-ELBO in nats on the 1,500 training images, with 10 exact samples for each;
`test` is the same on the other 297.

`docs/which-estimator.md` says how cost, bias and variance are measured, and at
which point. The default draws tell a tenth of the gradient's norm from none. A
finished run is kept in the JSON and not done again.
"""

from __future__ import annotations

import math
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import _runner
from benchmarks._runner import Arguments, Options, Row, environment
from docs.scripts import tables
from tfgumbel import estimators, ops, random
from tfgumbel.diagnostics import compare, estimates, training
from tfgumbel.diagnostics.problems import DigitsVae, Problem, Quadratic

PACKAGES = ["tensorflow", "keras", "scikit-learn", "numpy"]

# By name: the temperatures at which it stands in the table.
TEMPERATURES = {
    "gumbel_softmax": ("1", "0.5"),
    "st": ("1", "1.3"),
    "st_gumbel": ("1", "0.5"),
    "gumbel_rao": ("1", "0.5"),
    "gapped": ("1",),
    "reinmax": ("1", "1.3"),
    "mve": ("1", "100", "1e6"),
}
UNTEMPERED = ["nvil", "muprop", "rebar", "relax", "arm", "disarm", "double_cv"]
UNTEMPERED += ["rodeo", "arms", "unordered_set", "zgr"]
# By label: the estimator and what it is made with.
ESTIMATORS: dict[str, tuple[str, Row]] = {
    "reinforce": ("reinforce", {}),
    "reinforce, moving average": ("reinforce", {"baseline": "moving_average"}),
    "rloo, 2 samples": ("rloo", {"samples": 2}),
    "rloo, 4 samples": ("rloo", {"samples": 4}),
    **{name: (name, {}) for name in UNTEMPERED},
    **{
        f"{name}, tau {tau}": (name, {"temperature": float(tau)})
        for name, taus in TEMPERATURES.items()
        for tau in taus
    },
}
COLUMNS = ["estimator", "evaluations", "cost", "test", "bias"]
COLUMNS += ["relative_variance", "milliseconds"]


class LongQuadratic(Quadratic):
    """128 variables, 64 samples a step."""

    learning_rate = 1e-3
    control_rate = 1e-2
    steps = 8000

    def __init__(self) -> None:
        super().__init__(variables=128, target=0.45)

    def batch(self, step: tf.Tensor) -> tf.Tensor:
        return tf.zeros([64])

    def logits(self, examples: tf.Tensor) -> tf.Tensor:
        return tf.repeat(super().logits(examples), tf.shape(examples)[0], 0)

    def exact(self) -> np.ndarray:
        """The gradient in the logits of the probe: θ (1 - θ) (1 - 2t) / L."""
        theta = tf.sigmoid(self.phi.value)
        slope = theta * (1.0 - theta) * (1.0 - 2.0 * self.target)
        return (slope / slope.shape[1]).numpy().astype("float64")


class CategoricalVae(DigitsVae):
    """4 variables of 8 classes: 4,096 codes."""

    distribution = "categorical"
    title = "-ELBO (nats) of a VAE with 4 variables of 8 classes, 8x8 digits"

    def __init__(self) -> None:
        super().__init__(bits=32, hidden=64)

    def logits(self, examples: tf.Tensor) -> tf.Tensor:
        return tf.reshape(super().logits(examples), [-1, 4, 8])

    def cost_fn(self, examples: tf.Tensor) -> Any:
        cost = super().cost_fn(examples)
        return lambda z: cost(tf.reshape(z, [-1, 32]))

    def penalty(self, logits: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(ops.categorical_kl(logits), axis=1)

    def evaluate(self) -> float:
        return self.bound(self.images)

    def bound(self, images: tf.Tensor, samples: int = 10) -> float:
        """-ELBO with exact samples."""
        images = tf.repeat(images, samples, axis=0)
        logits = self.logits(images)
        codes = random.categorical(logits, [297, 10])
        cost = self.cost_fn(images)(tf.one_hot(codes, 8))
        return float(tf.reduce_mean(cost + self.penalty(logits)))


PROBLEMS: dict[str, Any] = {"quadratic": LongQuadratic, "vae": CategoricalVae}


def make(problem: Problem, seed: int, label: str) -> estimators.Estimator:
    """The estimator of this label, built."""
    name, arguments = ESTIMATORS[label]
    return problem.estimator(name, seed, **arguments)


def approach(problem: Problem, seed: int = 0) -> None:
    """Trains 1,000 steps by leave-one-out REINFORCE."""
    estimator = problem.estimator("rloo", seed, samples=4)
    training.train(problem, estimator, 1000, 1000, seed, draws=10)


def compared(problem: Problem, made: Row, draws: int, **options: Any) -> Any:
    """What `compare` says of the estimators at the problem's present point."""
    return compare(
        problem.cost_fn(problem.probe),
        tf.constant(problem.logits(problem.probe)),
        made,
        draws,
        max_draws=draws,
        distribution=problem.distribution,
        context=problem.context(problem.probe),
        learning_rate=0.01,
        **options,
    )


def applicable(label: str, problem: str) -> bool:
    """Whether the estimator does the problem's distribution."""
    distribution = PROBLEMS[problem].distribution
    return ESTIMATORS[label][0] in estimators.available(distribution)


def trained(problem: str, label: str, seed: int, steps: int) -> Row:
    """One training run: costs at its end, milliseconds a step."""
    with estimates.seeded(seed):
        instance = PROBLEMS[problem]()
    estimator = make(instance, seed, label)
    every = max(1, steps // 10)
    curve = training.train(instance, estimator, steps, every, seed, draws=100)
    found: Row = {"cost": curve.cost[-1]}
    if problem == "vae":
        found["test"] = instance.bound(instance._test[:297])
    return {**found, "curve": curve.to_dict()}


def measured(problem: str, labels: list[str], draws: int) -> dict[str, Row]:
    """Bias and variance at the common point, by label."""
    if not labels:
        return {}
    with estimates.seeded(0):
        instance = PROBLEMS[problem]()
    exact = None  # Few enough codes to enumerate.
    if problem == "vae":
        approach(instance)
    else:
        exact = instance.exact()
    made = {label: make(instance, 0, label) for label in labels}
    result = compared(instance, made, draws, exact=exact)
    norm = result.gradient_norm
    assert norm and not result.interrupted
    return {row.name: _point(row, norm) for row in result.rows}


def _point(row: Any, norm: float) -> Row:
    kept = ("evaluations", "unbiased", "p_value", "bias_detected", "draws")
    biases = ("bias", "bias_lower", "bias_upper", "bias_detectable")
    return {
        **{name: getattr(row, name) for name in kept},
        **{f"relative_{name}": getattr(row, name) / norm for name in biases},
        "relative_variance": row.variance / norm**2,
    }


def table(report: Row, problem: str) -> str:
    """The problem's rows as aligned text, best cost first."""
    rows = []
    for label, row in report["rows"].get(problem, {}).items():
        runs, point = list(row["runs"].values()), row.get("point", {})
        row = {**point, "estimator": label}
        row |= {name: _mean(runs, name) for name in ("cost", "test")}
        row["bias"] = tables.bias(point) if point else None
        times = [run["curve"]["milliseconds"] for run in runs]
        timed = bool(times) and all(times)
        row["milliseconds"] = float(np.median(times)) if timed else None
        row["order"] = np.mean([run["cost"] for run in runs] or [math.inf])
        rows.append(row)
    return _runner.table(COLUMNS, sorted(rows, key=lambda row: row["order"]))


def _mean(runs: list[Row], key: str) -> str | None:
    values = [run[key] for run in runs if key in run]
    if not values:
        return None
    text = f"{np.mean(values):.5g}"
    if len(values) > 1:
        error = np.std(values, ddof=1) / math.sqrt(len(values))
        text += f" ± {error:.2g}"
    return text


def run(options: Options) -> Row:
    """Does what the file does not hold yet."""
    report = _runner.read(options.out, {"rows": {}})
    report["environment"] = environment(PACKAGES)
    for problem in options.problems:
        steps = options.steps or PROBLEMS[problem].steps
        rows = report["rows"].setdefault(problem, {})
        chosen = [label for label in options.only if applicable(label, problem)]
        for label in chosen:
            rows.setdefault(label, {"runs": {}})
        again = options.points
        missing = [x for x in chosen if again or "point" not in rows[x]]
        for label, point in measured(problem, missing, options.draws).items():
            rows[label]["point"] = point
        _runner.write(options.out, report)
        todo = [
            (seed, label, key)
            for seed in options.seeds
            for key in [f"seed {seed}, {steps} steps"]
            for label in chosen
            if key not in rows[label]["runs"]
        ]
        begin = time.monotonic()
        for done, (seed, label, key) in enumerate(todo, 1):
            result = trained(problem, label, seed, steps)
            rows[label]["runs"][key] = result
            _runner.write(options.out, report)
            pace = (time.monotonic() - begin) / done / 60
            left = f"({pace * (len(todo) - done):.0f} min left)"
            text = f"{problem}, {label}, seed {seed}: {result['cost']:.5g}"
            print(text, left, flush=True)
            keras.backend.clear_session()
        print(table(report, problem), flush=True)
    return report


def main(arguments: Arguments = None) -> Row:
    parser = _runner.parser("comparison", __doc__)
    add = parser.add_argument
    parser.add_choices(problems=PROBLEMS, only=ESTIMATORS)
    parser.add_defaults(seeds=[0, 1, 2], draws=50_000)
    add("--steps", type=int)
    add("--points", action="store_true", help="measure bias and variance anew")
    return run(_runner.parse(parser, arguments))


if __name__ == "__main__":
    main()
