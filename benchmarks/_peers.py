"""Storchastic and Pyro on the problem of `benchmarks.estimators`.

Each contender is a call that draws one estimate and returns the gradient of
the summed cost with respect to the logits, as a NumPy array.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks import _runner

Step = Callable[[], np.ndarray]


def cross_entropy(outputs: Any, targets: Any) -> Any:
    """Binary cross-entropy per row, in ops both libraries can wrap."""
    import torch

    loss = torch.clamp(outputs, min=0) - outputs * targets
    return (loss + torch.log1p(torch.exp(-torch.abs(outputs)))).sum(-1)


def contenders(
    logits: np.ndarray, images: np.ndarray, weights: list[np.ndarray]
) -> dict[tuple[str, str], Step]:
    """The peers that are installed, by (peer, estimator)."""
    steps: dict[tuple[str, str], Step] = {}
    for peer, module, make in (
        ("storchastic", "storch", storchastic),
        ("pyro", "pyro", pyro),
    ):
        if _runner.installed(module):
            for name, step in make(*in_torch(logits, images, weights)).items():
                steps[peer, name] = step
    return steps


def in_torch(
    logits: np.ndarray, images: np.ndarray, weights: list[np.ndarray]
) -> tuple[Any, Any, Any]:
    """The decoder of the benchmark, logits and images, in torch."""
    import torch

    layers: list[Any] = []
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        linear = torch.nn.Linear(*kernel.shape)
        linear.weight.data = torch.tensor(kernel.T.copy())
        linear.bias.data = torch.tensor(bias)
        layers += [linear, torch.nn.ReLU()]
    decoder = torch.nn.Sequential(*layers[:-1])
    parameter = torch.tensor(logits, requires_grad=True)
    return decoder, parameter, torch.tensor(images)


def storchastic(decoder: Any, logits: Any, images: Any) -> dict[str, Step]:
    """Storchastic's estimators that `tfgumbel` has too."""
    import storch  # type: ignore[import-not-found]
    import torch

    methods = {
        "reinforce": lambda: storch.method.ScoreFunction("z", n_samples=1),
        "rloo-4": lambda: storch.method.ScoreFunction(
            "z", n_samples=4, baseline_factory="batch_average"
        ),
        "gumbel_softmax": lambda: storch.method.GumbelSoftmax("z"),
        "rebar": lambda: storch.method.REBAR("z"),
    }

    def step(make: Callable[[], Any]) -> np.ndarray:
        decoder.zero_grad()
        logits.grad = None
        theta = storch.denote_independent(logits, 0, "data")
        x = storch.denote_independent(images, 0, "data")
        distribution = torch.distributions.OneHotCategorical(
            probs=torch.softmax(theta, -1)
        )
        z = make()(distribution)
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
