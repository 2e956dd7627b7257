"""The tables of layers and of estimators: a row buys every contract test.

A row of a layer says how to make it, an example of what it is called with, and
what it must return, defined in plain TensorFlow ops (`definitions.py`). A row
of an estimator says how to make it and what it claims; the claims are held
against enumeration (`enumeration.py`).
"""

import dataclasses

import pytest

import tfgumbel as tg
from tests.helpers import definitions
from tests.helpers.rows import (
    CONTEXT,
    GATES,
    LOGITS,
    MATRICES,
    MEAN,
    PRIOR,
    SCALE,
    SCHEDULE,
    TRIL,
    EstimatorCase,
    bernoulli_row,
    categorical_row,
    continuous_row,
    embedding_row,
    gate_row,
    gaussian_inputs,
    gaussian_row,
    gaussian_tril_row,
    kl_row,
    permutation_row,
    plackett_luce_row,
    quantizer_row,
    reinforce_row,
    score_row,
    selector_row,
    subset_row,
    usage_row,
)

LAYERS = (
    categorical_row(
        "GumbelSoftmax", tg.GumbelSoftmax, definitions.gumbel_softmax
    ),
    categorical_row(
        "GumbelSoftmax-hard",
        tg.GumbelSoftmax,
        definitions.gumbel_softmax_hard,
        hard=True,
    ),
    categorical_row(
        "GumbelSoftmax-masked",
        tg.GumbelSoftmax,
        definitions.gumbel_softmax,
        mask=True,
    ),
    categorical_row(
        "GumbelSoftmax-schedule",
        tg.GumbelSoftmax,
        definitions.gumbel_softmax,
        temperature=tg.schedules.ExponentialAnnealing(**SCHEDULE),
    ),
    categorical_row(
        "GumbelSoftmax-decoupled",
        tg.GumbelSoftmax,
        definitions.gumbel_softmax_decoupled,
        backward_temperature=1.9,
    ),
    dataclasses.replace(
        categorical_row(
            "GumbelSoftmax-trained",
            tg.GumbelSoftmax,
            definitions.gumbel_softmax,
            trainable_temperature=True,
        ),
        anneals=None,
    ),
    categorical_row(
        "StraightThroughCategorical-st",
        tg.StraightThroughCategorical,
        definitions.straight_through,
        noise=definitions.row_uniforms,
        estimator="st",
    ),
    categorical_row(
        "StraightThroughCategorical-st-masked",
        tg.StraightThroughCategorical,
        definitions.straight_through,
        noise=definitions.row_uniforms,
        mask=True,
        estimator="st",
    ),
    categorical_row(
        "StraightThroughCategorical-st_gumbel",
        tg.StraightThroughCategorical,
        definitions.gumbel_softmax_hard,
        estimator="st_gumbel",
    ),
    *(
        categorical_row(
            f"StraightThroughCategorical-{name}",
            tg.StraightThroughCategorical,
            training,
            noise=definitions.row_uniforms,
            estimator=name,
        )
        for name, training in (
            ("reinmax", definitions.reinmax),
            ("zgr", definitions.zgr),
            ("gapped", definitions.gapped),
            ("mve", definitions.mve),
        )
    ),
    categorical_row(
        "StraightThroughCategorical-gumbel_rao",
        tg.StraightThroughCategorical,
        definitions.gumbel_rao,
        noise=definitions.gumbel_rao_noise,
        estimator="gumbel_rao",
    ),
    embedding_row(
        "st_gumbel",
        definitions.gumbel_softmax_hard,
        tg.random.gumbel,
        estimator="st_gumbel",
    ),
    embedding_row(
        "st-masked",
        definitions.straight_through,
        definitions.row_uniforms,
        mask=True,
        estimator="st",
    ),
    quantizer_row(
        "reinmax",
        definitions.drawn_codes(definitions.reinmax),
        definitions.code_uniforms,
        temperature=0.7,
    ),
    quantizer_row(
        "st_gumbel",
        definitions.drawn_codes(definitions.gumbel_softmax_hard),
        definitions.code_gumbels,
        estimator="st_gumbel",
        temperature=0.7,
    ),
    quantizer_row(
        "nearest",
        definitions.copied_codes,
        estimator="nearest",
        groups=2,
        stages=2,
        revive_after=None,
    ),
    subset_row("SubsetSampler", definitions.subset_exact),
    subset_row("SubsetSampler-masked", definitions.subset_exact, mask=True),
    plackett_luce_row("SubsetSampler-relaxed_hard", definitions.subset_hard),
    plackett_luce_row("SubsetSampler-relaxed", definitions.subset, hard=False),
    dataclasses.replace(
        plackett_luce_row(
            "SubsetSampler-implicit_mle",
            definitions.implicit_mle,
            estimator="implicit_mle",
            temperature=1.0,
            step=3.0,
        ),
        anneals=None,
    ),
    plackett_luce_row(
        "SubsetSampler-relaxed-masked",
        definitions.subset,
        mask=True,
        hard=False,
    ),
    permutation_row("soft_sort", definitions.sorted_hard),
    permutation_row("soft_sort-relaxed", definitions.soft_sort, hard=False),
    permutation_row(
        "neural_sort",
        definitions.neural_sort,
        relaxation="neural_sort",
        hard=False,
    ),
    permutation_row(
        "sinkhorn",
        definitions.sinkhorn,
        MATRICES,
        "matching",
        relaxation="sinkhorn",
        hard=False,
        iterations=5,
    ),
    permutation_row(
        "sinkhorn-hard",
        definitions.sinkhorn_hard,
        MATRICES,
        "matching",
        relaxation="sinkhorn",
        iterations=5,
    ),
    gate_row("hard_concrete", definitions.hard_concrete_gate),
    gate_row("gaussian", definitions.gaussian_gate, kind="gaussian"),
    gate_row("of_examples", definitions.hard_concrete_gate, GATES),
    selector_row(),
    bernoulli_row(
        "BinaryConcrete", tg.BinaryConcrete, definitions.binary_concrete
    ),
    bernoulli_row(
        "StraightThroughBernoulli-reinmax",
        tg.StraightThroughBernoulli,
        definitions.reinmax_bernoulli,
        estimator="reinmax",
    ),
    bernoulli_row(
        "BinaryConcrete-hard",
        tg.BinaryConcrete,
        definitions.binary_concrete_hard,
        hard=True,
    ),
    bernoulli_row(
        "StraightThroughBernoulli-st",
        tg.StraightThroughBernoulli,
        definitions.straight_through_bernoulli,
        estimator="st",
    ),
    bernoulli_row(
        "StraightThroughBernoulli-st_gumbel",
        tg.StraightThroughBernoulli,
        definitions.binary_concrete_hard,
        estimator="st_gumbel",
    ),
    *(
        gaussian_row(parameterization)
        for parameterization in definitions.STDDEV
    ),
    gaussian_tril_row(),
    continuous_row("gamma", (MEAN, SCALE)),
    continuous_row("mixture", (LOGITS, MEAN, SCALE)),
    reinforce_row(
        "categorical",
        (LOGITS,),
        definitions.sample_and_log_prob,
        return_log_prob=True,
    ),
    reinforce_row(
        "bernoulli",
        (LOGITS,),
        definitions.sample_and_log_prob,
        distribution="bernoulli",
        return_log_prob=True,
    ),
    reinforce_row(
        "gaussian",
        gaussian_inputs("log_variance"),
        definitions.sample_and_log_prob,
        distribution="gaussian",
        return_log_prob=True,
    ),
    reinforce_row("alone", (LOGITS, CONTEXT), definitions.sample_and_cost),
    reinforce_row(
        "moving_average",
        (LOGITS, CONTEXT),
        definitions.sample_and_cost,
        baseline="moving_average",
    ),
    reinforce_row(
        "nvil",
        (LOGITS, CONTEXT),
        definitions.sample_and_cost,
        distribution="bernoulli",
        baseline="nvil",
    ),
    reinforce_row(
        "dense",
        (*gaussian_inputs("log_variance"), CONTEXT),
        definitions.sample_and_cost,
        distribution="gaussian",
        baseline="dense",
    ),
    score_row("none"),
    score_row("moving_average", "moving_average"),
    score_row("nvil", "nvil"),
    score_row("dense", "dense"),
    usage_row("diversity", definitions.code_diversity),
    usage_row("entropy", definitions.code_entropy, gamma=0.6, shared=True),
    usage_row("load_balance", definitions.code_balance),
    kl_row(
        "CategoricalKL", tg.CategoricalKL, (LOGITS,), definitions.categorical_kl
    ),
    kl_row(
        "CategoricalKL-prior",
        tg.CategoricalKL,
        (LOGITS,),
        definitions.categorical_kl,
        prior_logits=PRIOR,
    ),
    kl_row(
        "BernoulliKL",
        tg.BernoulliKL,
        (LOGITS,),
        definitions.bernoulli_kl,
        prior_logits=PRIOR,
    ),
    *(
        kl_row(
            f"GaussianKL-{parameterization}",
            tg.GaussianKL,
            gaussian_inputs(parameterization),
            definitions.gaussian_kl,
            parameterization=parameterization,
            prior_mean=0.3,
            prior_stddev=1.5,
        )
        for parameterization in ("log_variance", "stddev")
    ),
    kl_row(
        "GaussianKL-tril",
        tg.GaussianKL,
        TRIL,
        definitions.gaussian_tril_kl,
        parameterization="tril",
        prior_mean=0.3,
        prior_stddev=1.5,
    ),
    kl_row(
        "KLDivergence-gamma",
        tg.KLDivergence,
        gaussian_inputs("log_variance"),
        definitions.gamma_kl,
        distribution="gamma",
        prior=(2.0, 0.5),
    ),
    kl_row(
        "KLDivergence-kumaraswamy",
        tg.KLDivergence,
        gaussian_inputs("log_variance"),
        definitions.kumaraswamy_kl,
        noise=definitions.kumaraswamy_noise,
        distribution="kumaraswamy",
        prior=(1.5, 0.7),
        samples=2,
        seed=7,
    ),
    *(
        kl_row(
            f"GaussianKL-{name}",
            tg.GaussianKL,
            gaussian_inputs("log_variance"),
            definitions.gaussian_kl,
            **kwargs,
        )
        for name, kwargs in (
            ("free_bits", {"free_bits": 3.0, "groups": 4}),
            ("capacity", {"capacity": 9.0}),
        )
    ),
    kl_row(
        "GaussianKL-schedule",
        tg.GaussianKL,
        gaussian_inputs("log_variance"),
        definitions.gaussian_kl,
        weight=tg.schedules.ExponentialAnnealing(**SCHEDULE),
    ),
)

ESTIMATORS = (
    EstimatorCase("exact", "exact", {}, draws=4),
    EstimatorCase("exact-chunks", "exact", {"chunk_size": 3}, draws=4),
    EstimatorCase("reinforce", "reinforce"),
    EstimatorCase("reinforce-constant", "reinforce", {"baseline": 0.7}),
    EstimatorCase("reinforce-optimal", "reinforce", {"baseline": "optimal"}),
    EstimatorCase(
        "reinforce-optimal-4",
        "reinforce",
        {"baseline": "optimal", "samples": 4},
    ),
    EstimatorCase(
        "reinforce-moving", "reinforce", {"baseline": "moving_average"}
    ),
    EstimatorCase("nvil", "nvil"),
    EstimatorCase("nvil-3", "nvil", {"samples": 3}),
    EstimatorCase("rloo-2", "rloo"),
    EstimatorCase("rloo-4", "rloo", {"samples": 4}),
    EstimatorCase("unordered_set", "unordered_set", draws=50_000),
    EstimatorCase(
        "unordered_set-3",
        "unordered_set",
        {"samples": 3},
        laws=("categorical",),
        draws=30_000,
    ),
    EstimatorCase("double_cv", "double_cv"),
    EstimatorCase("double_cv-3", "double_cv", {"samples": 3, "alpha": -0.8}),
    EstimatorCase("rodeo", "rodeo"),
    EstimatorCase("rodeo-3", "rodeo", {"samples": 3}),
    EstimatorCase("vimco", "vimco", multi_sample_bound=True),
    EstimatorCase(
        "vimco-weights",
        "vimco",
        {"add_log_prob": False},
        multi_sample_bound=True,
    ),
    EstimatorCase("muprop", "muprop"),
    EstimatorCase("muprop-3", "muprop", {"samples": 3}),
    EstimatorCase("rebar", "rebar"),
    EstimatorCase("rebar-2", "rebar", {"samples": 2}),
    EstimatorCase(
        "rebar-fixed",
        "rebar",
        {"learn_eta": False, "learn_temperature": False},
    ),
    EstimatorCase("rebar-independent", "rebar", {"tied": False}),
    EstimatorCase("relax", "relax"),
    EstimatorCase("relax-2", "relax", {"samples": 2}),
    EstimatorCase("relax-cost", "relax", {"relaxed_cost": True}),
    EstimatorCase(
        "relax-independent", "relax", {"relaxed_cost": True, "tied": False}
    ),
    EstimatorCase("arm", "arm", laws=("bernoulli",)),
    EstimatorCase("arm-2", "arm", {"samples": 2}, laws=("bernoulli",)),
    EstimatorCase("disarm", "disarm"),
    EstimatorCase("pathwise", "pathwise", laws=("gaussian",)),
    EstimatorCase("pathwise-2", "pathwise", {"samples": 2}, ("gaussian",)),
    *(
        EstimatorCase(
            f"{name}{suffix}",
            name,
            kwargs,
            laws=("gaussian",),
            multi_sample_bound=True,
            biased=name == "stl",
        )
        for name, suffix, kwargs in (
            ("iwae", "", {}),
            ("iwae", "-weights", {"add_log_prob": False}),
            ("dreg", "", {}),
            ("stl", "", {}),
        )
    ),
    EstimatorCase(
        "measure_valued", "measure_valued", laws=("bernoulli", "gaussian")
    ),
    EstimatorCase(
        "measure_valued-2",
        "measure_valued",
        {"samples": 2},
        laws=("bernoulli", "gaussian"),
    ),
    EstimatorCase("disarm-2", "disarm", {"samples": 2}),
    EstimatorCase("arms", "arms", laws=("bernoulli",)),
    EstimatorCase("arms-2", "arms", {"samples": 2}, laws=("bernoulli",)),
    EstimatorCase(
        "arms-gaussian",
        "arms",
        {"samples": 3, "copula": "gaussian"},
        laws=("bernoulli",),
    ),
    *(
        EstimatorCase(f"{name}{suffix}", name, kwargs, biased=True)
        for name, suffix, kwargs in (
            ("gumbel_softmax", "", {}),
            ("st", "", {}),
            ("st_gumbel", "", {}),
            ("st_gumbel", "-2", {"samples": 2}),
            ("st_gumbel", "-decoupled", {"backward_temperature": 0.4}),
            ("gumbel_rao", "", {}),
            ("gumbel_rao", "-1", {"noise_samples": 1}),
            ("gapped", "", {}),
            ("reinmax", "", {}),
            ("zgr", "", {}),
            ("mve", "", {}),
            ("mve", "-limit", {"temperature": 1e6}),
        )
    ),
)


def is_variant(case):
    """Whether an earlier row has a layer of the same class."""
    name = case.id.partition("-")[0]
    first = next(row for row in LAYERS if row.id.partition("-")[0] == name)
    return case is not first


def layer_cases(
    condition=lambda case: True,
    slow=lambda case: False,
    exhaustive=lambda case: False,
):
    """Parametrises a test over the rows that fulfil the condition."""

    def marks(case):
        if exhaustive(case):
            return [pytest.mark.exhaustive]
        return [pytest.mark.slow] if slow(case) else []

    chosen = [
        pytest.param(case, id=case.id, marks=marks(case))
        for case in LAYERS
        if condition(case)
    ]
    return pytest.mark.parametrize("case", chosen)


def estimator_cases(
    condition=lambda case: True,
    laws=("bernoulli", "categorical", "gaussian"),
    every_law=True,
):
    """(case, law) pairs and their ids, for `pytest.mark.parametrize`.

    Variants of an estimator are slow tests; without `every_law`, they and all
    laws but its last are exhaustive.
    """
    pairs = [
        (case, law)
        for case in ESTIMATORS
        for law in laws
        if law in case.laws and condition(case)
    ]

    def marks(case, law):
        if case.id == case.name and (every_law or law == case.laws[-1]):
            return []
        return [pytest.mark.slow if every_law else pytest.mark.exhaustive]

    return {
        "argvalues": [
            pytest.param(case, law, marks=marks(case, law))
            for case, law in pairs
        ],
        "ids": [f"{case.id}-{law}" for case, law in pairs],
    }
