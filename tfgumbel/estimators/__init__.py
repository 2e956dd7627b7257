"""Estimators of ∇E[f(z)] behind one contract.

    cost = estimator(cost_fn, parameters, seed, context=None)

returns one cost per example, `[B]`, float32. Its gradient with respect to
`parameters` *is* the estimate of ∇E[f(z)], scaled per example by the incoming
gradient (1/B, sample weights, loss scale). Its gradient with respect to the
variables that `cost_fn` uses is that of f at the samples that the value is
made of: relaxed evaluations and control variates never reach them. A control
variate's own training signal reaches its own weights only. `"exact"`,
`"reinforce"`, `"nvil"` and `"pathwise"` have second derivatives, too; where an
estimator has none, asking for one raises an error, and in a graph gives NaN.
Samples of gamma, beta, Dirichlet and Student's t variables have none. A tape
around `tf.vectorized_map` and a `tf.autodiff.ForwardAccumulator` inside a
`tf.function` see zeros, as for `ops`.

`parameters` are the unconstrained parameters of the estimator's distribution:
logits `[B, ..., K]` of a categorical one, for instance, or a tuple of tensors.
`cost_fn` maps samples to costs. An estimator that needs n evaluations of f per
example asks for them in one batch: `cost_fn` gets samples `[n·B, ...]` in
float32, in which row s·B + i belongs to example i, and returns `[n·B]` costs.
What `cost_fn` captures per example has to be repeated likewise:
`tile_context(x, z)` does that, for any n. The cost of a row must depend on that
row alone.

`context` is what a learned baseline or control variate may look at, `[B,
...]`; `None` stands for the parameters. It receives no gradient.

An estimator is a Keras layer, so that its weights are trained and saved with
the model that holds it; call `build(parameters_shape, context_shape)` or let
the first call do so. It names the capabilities of a distribution that it
`needs`, and serves every distribution that has them. `algebra` holds what
estimators are made of.
"""

from tfgumbel.estimators import algebra
from tfgumbel.estimators._relaxation import register_surrogates
from tfgumbel.estimators._surrogate import (
    draw_codes,
    surrogate_embedding,
    surrogate_quantize,
    surrogate_sample,
    surrogates,
)
from tfgumbel.estimators.algebra import tile_context
from tfgumbel.estimators.arm import ARM
from tfgumbel.estimators.arms import ARMS
from tfgumbel.estimators.baseline import (
    Baseline,
    get_baseline,
    serialize_baseline,
)
from tfgumbel.estimators.control_variate import ControlVariate
from tfgumbel.estimators.disarm import DisARM
from tfgumbel.estimators.double_cv import DoubleCV
from tfgumbel.estimators.dreg import DReG
from tfgumbel.estimators.estimator import (
    CostFn,
    Estimator,
    available,
    canonical,
    get,
    register,
)
from tfgumbel.estimators.exact import Exact
from tfgumbel.estimators.gapped import Gapped
from tfgumbel.estimators.gumbel_rao import GumbelRao
from tfgumbel.estimators.gumbel_softmax import GumbelSoftmax
from tfgumbel.estimators.iwae import IWAE
from tfgumbel.estimators.measure_valued import MeasureValued
from tfgumbel.estimators.muprop import MuProp
from tfgumbel.estimators.mve import MVE
from tfgumbel.estimators.nvil import NVIL
from tfgumbel.estimators.pathwise import Pathwise
from tfgumbel.estimators.rebar import REBAR
from tfgumbel.estimators.reinforce import Reinforce
from tfgumbel.estimators.reinmax import ReinMax
from tfgumbel.estimators.relax import RELAX
from tfgumbel.estimators.rloo import RLOO
from tfgumbel.estimators.rodeo import RODEO
from tfgumbel.estimators.st import ST
from tfgumbel.estimators.st_gumbel import STGumbel
from tfgumbel.estimators.stl import STL
from tfgumbel.estimators.unordered_set import UnorderedSet
from tfgumbel.estimators.vimco import VIMCO
from tfgumbel.estimators.zgr import ZGR

register_surrogates()

__all__ = [
    "ARM",
    "ARMS",
    "Baseline",
    "ControlVariate",
    "CostFn",
    "DReG",
    "DisARM",
    "DoubleCV",
    "Estimator",
    "Exact",
    "Gapped",
    "GumbelRao",
    "GumbelSoftmax",
    "IWAE",
    "MVE",
    "MeasureValued",
    "MuProp",
    "NVIL",
    "Pathwise",
    "REBAR",
    "RELAX",
    "RLOO",
    "RODEO",
    "ReinMax",
    "Reinforce",
    "ST",
    "STL",
    "STGumbel",
    "UnorderedSet",
    "VIMCO",
    "ZGR",
    "algebra",
    "available",
    "canonical",
    "draw_codes",
    "get",
    "get_baseline",
    "register",
    "serialize_baseline",
    "surrogate_embedding",
    "surrogate_quantize",
    "surrogate_sample",
    "surrogates",
    "tile_context",
]
