"""What one estimate costs, beside the evaluations of f that it asks for.

The problem is a decoder of the size of Jang et al.: 20 variables of 10
categories, 256 and 512 hidden units, 784 pixels, binary cross-entropy summed
over the pixels, batch 100. For every estimator that needs no enumeration:

    overhead = time of an estimate and its backward pass
               / (evaluations x time of one forward + backward of f)

with both measured in turns, in graph mode. Peers (Storchastic and Pyro, where
installed) estimate the same gradient with the same weights. The variance is
that of the gradient in the logits, summed over the coordinates of an example;
`norm` is that of its mean over the draws, and tells whether a biased or a
misscaled estimate is behind a small variance. Pyro's score function includes
log q(z) in the cost, as its ELBO does.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks import _runner
from benchmarks._networks import reconstruction
from benchmarks._runner import Arguments, Options, Row
from benchmarks._samplers import gradients
from benchmarks._timing import compare
from tfgumbel import estimators

Step = Callable[[], np.ndarray]
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


def estimate(problem: Problem, name: str) -> tuple[Step, int]:
    """One estimate with its backward pass, and its evaluations of f."""
    name, _, samples = name.partition("-")
    options = {"samples": int(samples)} if samples else {}
    estimator = estimators.get(name, **options)
    estimator.build(problem.logits.shape, problem.logits.shape)
    learned = [v.value for v in estimator.trainable_variables]
    cost = partial(estimator, problem.cost)
    call = gradients(cost, problem.logits, [*problem.variables, *learned])
    return lambda: call()[1].numpy(), estimator.evaluations


def cross_entropy(outputs: Any, targets: Any) -> Any:
    """Binary cross-entropy per row, in ops both libraries can wrap."""
    import torch

    loss = torch.clamp(outputs, min=0) - outputs * targets
    return (loss + torch.log1p(torch.exp(-torch.abs(outputs)))).sum(-1)


def peers(problem: Problem) -> dict[tuple[str, str], Step]:
    """The peers that are installed, by (peer, estimator)."""
    steps: dict[tuple[str, str], Step] = {}
    known = {"storchastic": ("storch", storchastic), "pyro": ("pyro", pyro)}
    for peer, (module, make) in known.items():
        if _runner.installed(module):
            for name, step in make(*in_torch(problem)).items():
                steps[peer, name] = step
    return steps


def in_torch(problem: Problem) -> tuple[Any, Any, Any]:
    """The decoder of the benchmark, logits and images, in torch."""
    import torch

    layers: list[Any] = []
    kernels, biases = problem.weights[::2], problem.weights[1::2]
    for kernel, bias in zip(kernels, biases, strict=True):
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data = torch.tensor(kernel.T.copy())
        linear.bias.data = torch.tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    decoder = torch.nn.Sequential(*layers[:-1])
    logits = torch.tensor(problem.logits, requires_grad=True)
    return decoder, logits, torch.tensor(problem.images)


def storchastic(decoder: Any, logits: Any, images: Any) -> dict[str, Step]:
    """Storchastic's estimators that `tfgumbel` has too."""
    import storch  # type: ignore[import-not-found]
    import torch

    mean_of_four = {"n_samples": 4, "baseline_factory": "batch_average"}
    methods = {
        "reinforce": lambda: storch.method.ScoreFunction("z", n_samples=1),
        "rloo-4": lambda: storch.method.ScoreFunction("z", **mean_of_four),
        "gumbel_softmax": lambda: storch.method.GumbelSoftmax("z"),
        "rebar": lambda: storch.method.REBAR("z"),
    }

    def step(make: Callable[[], Any]) -> np.ndarray:
        decoder.zero_grad()
        logits.grad = None
        theta = storch.denote_independent(logits, 0, "data")
        x = storch.denote_independent(images, 0, "data")
        probs = torch.softmax(theta, -1)
        z = make()(torch.distributions.OneHotCategorical(probs=probs))
        outputs = decoder(z.reshape((*z.shape[:-2], -1)))
        storch.add_cost(cross_entropy(outputs, x), "cost")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            storch.backward()
        # Storchastic averages over the data.
        return len(logits) * logits.grad.detach().numpy()

    return {name: partial(step, make) for name, make in methods.items()}


def pyro(decoder: Any, logits: Any, images: Any) -> dict[str, Step]:
    """Pyro's estimators that `tfgumbel` has too, on a factor as the cost."""
    import pyro as ppl
    import torch
    from pyro import distributions as dist
    from pyro.infer import Trace_ELBO

    relaxed = dist.RelaxedOneHotCategorical
    straight = dist.RelaxedOneHotCategoricalStraightThrough
    tau = torch.tensor(1.0)
    distributions = {
        "reinforce": lambda: dist.OneHotCategorical(logits=logits),
        "gumbel_softmax": lambda: relaxed(tau, logits=logits),
        "st_gumbel": lambda: straight(tau, logits=logits),
    }

    def step(make: Callable[[], Any]) -> np.ndarray:
        decoder.zero_grad()
        logits.grad = None

        def draw() -> Any:
            return ppl.sample("z", make().to_event(1))

        def model() -> None:
            # The prior is masked out: the cost is f alone.
            with ppl.plate("data", len(logits)):
                with ppl.poutine.mask(mask=False):
                    z = draw()
                outputs = decoder(z.reshape(len(logits), -1))
                ppl.factor("cost", -cross_entropy(outputs, images))

        def guide() -> None:
            # A relaxed sample must not be scored by its own density; Pyro's
            # score function needs that of the discrete one.
            scored = ppl.poutine.mask(mask=not make().has_rsample)
            with ppl.plate("data", len(logits)), scored:
                draw()

        loss = Trace_ELBO().differentiable_loss(model, guide)
        loss.backward()
        return logits.grad.numpy().copy()

    return {name: partial(step, make) for name, make in distributions.items()}


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
    inputs = tf.nn.softmax(problem.logits), problem.variables
    steps: dict[Any, Step] = {
        "f": gradients(lambda z, seed: problem.cost(z), *inputs)
    }
    steps |= {("tfgumbel", name): step for name, (step, _) in ours.items()}
    if not options.no_peers:
        steps |= peers(problem)
    rows: list[Row] = []
    for package, name in [*steps][1:]:
        try:
            steps[package, name]()
        except (KeyError, RuntimeError, NotImplementedError) as error:
            del steps[package, name]
            row = {"package": package, "name": name, "failed": repr(error)}
            rows.append(row)
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
    parser = _runner.parser("estimators", __doc__, repeats=25, draws=200)
    parser.add_defaults(batch=100)
    parser.add_choices(only=ESTIMATORS)
    parser.add_argument("--no-peers", action="store_true")
    options = _runner.parse(parser, arguments)
    rows, facts = measure(options), {"batch": options.batch}
    reached = targets(rows)
    return _runner.finish(options, COLUMNS, rows, reached, PACKAGES, **facts)


if __name__ == "__main__":
    main()
