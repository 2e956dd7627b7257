"""Whatever this package offers passes the checks that it offers to others."""

import inspect

import pytest

import tfgumbel as tg
from tests.distributions.cases import CASES
from tests.helpers.cases import ESTIMATORS, is_variant, layer_cases


def is_random(case):
    loss = "KL" in case.id or case.id.startswith(("CodeUsage", "Stochastic"))
    if case.id.startswith("ScoreFunctionCost"):
        return False
    return case.noise is not None or not loss


def check(case, **kwargs):
    """The row's layer, with its inputs by name."""
    layer = case.make()
    parameters = inspect.signature(layer.call).parameters
    names = [name for name in parameters if name != "training"]
    first, *others = case.inputs
    return tg.testing.check_layer(
        layer,
        first,
        arguments=dict(zip(names[1:], others, strict=False)),
        # One selection is for the whole batch.
        per_example=not isinstance(layer, tg.ConcreteSelector),
        **kwargs,
    )


# One of each way to draw: the others, like all variants, on demand.
LAYERS_OFTEN = (
    "GumbelSoftmax",
    "StraightThroughCategorical-st",
    "ReinforceSampler-categorical",
    "ReparamGaussian-log_variance",
    "SubsetSampler",
)


@pytest.mark.full
@layer_cases(is_random, exhaustive=lambda case: case.id not in LAYERS_OFTEN)
def test_layers_pass(case):
    report = check(case)
    report.raise_if_failed()
    assert sum(outcome.status == "pass" for outcome in report) >= 14


@layer_cases(
    is_random,
    slow=lambda case: True,
    exhaustive=lambda case: case.id not in LAYERS_OFTEN,
)
def test_layers_pass_all_checks(case):
    check(case, full=True).raise_if_failed()


@layer_cases(lambda case: not is_random(case), exhaustive=is_variant)
def test_layers_that_are_not_random_are_refused(case):
    with pytest.raises(ValueError, match="is not random"):
        check(case)


NOISY = layer_cases(
    lambda case: is_random(case) and not case.id.startswith("KL"),
    slow=lambda case: True,
    exhaustive=is_variant,
)


@NOISY
def test_replicas_draw_noise_of_their_own(case, strategy):
    check(case, only=["replicas"], strategy=strategy).raise_if_failed()


DISTRIBUTIONS = {
    **{
        case.id: (case.distribution, None)
        for case in CASES
        if case.id not in ("gaussian-tril", "subset-sizes")
    },
    **{
        name: (tg.distributions.get(name), None)
        for name in ("bernoulli", "categorical")
    },
    "gaussian-tril": (
        tg.distributions.Gaussian(parameterization="tril"),
        ([0.3, -0.2], [0.4, 0.5, -0.1]),
    ),
    "subset-sizes": (tg.distributions.Subset(), (2.0, [0.3, 0.9, 0.5])),
}


# Much like others: they and all variants on demand.
SELDOM = ("exponential", "weibull", "poisson", "dirichlet", "kumaraswamy")
SELDOM += ("laplace", "student_t", "inverse_gaussian")


@pytest.mark.full
@pytest.mark.parametrize(
    "id",
    [
        pytest.param(
            id, marks=[pytest.mark.exhaustive] * ("-" in id or id in SELDOM)
        )
        for id in DISTRIBUTIONS
    ],
)
def test_distributions_pass(id):
    distribution, inputs = DISTRIBUTIONS[id]
    report = tg.testing.check_distribution(distribution, inputs)
    # A standard deviation is taken as it is, a negative one too.
    expected = ["extremes"] if id == "gaussian-stddev" else []
    assert [o.check for o in report.failures] == expected, report


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("id", sorted(set(DISTRIBUTIONS) - {"gaussian-stddev"}))
def test_distributions_pass_all_checks(id, seed):
    distribution, inputs = DISTRIBUTIONS[id]
    tg.testing.check_distribution(
        distribution, inputs, full=True, seed=seed
    ).raise_if_failed()


# One of each kind; the others, all under enumeration too, on demand.
OFTEN = ("exact", "rebar", "st")


@pytest.mark.full
@pytest.mark.parametrize(
    ("case", "law"),
    [
        pytest.param(
            case,
            law,
            id=f"{case.id}-{law}",
            marks=[]
            if case.id in OFTEN and law == case.laws[-1]
            else [pytest.mark.exhaustive],
        )
        for case in ESTIMATORS
        for law in case.laws
    ],
)
def test_estimators_pass(case, law):
    tg.testing.check_estimator(case.name, law, **case.kwargs).raise_if_failed()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rloo", "muprop", "measure_valued"])
def test_estimators_of_whole_numbers_pass(name):
    tg.testing.check_estimator(name, "poisson").raise_if_failed()
