"""Estimators of ∇E[f(z)] behind one contract.

    cost = estimator(cost_fn, logits, seed, context=None)

returns one cost per example, `[B]`, float32. Its gradient with respect to
`logits` *is* the estimate of ∇E[f(z)], scaled per example by the incoming
gradient (1/B, sample weights, loss scale). Its gradient with respect to the
variables that `cost_fn` uses is that of f at the samples that the value is
made of: relaxed evaluations and control variates never reach them. A control
variate's own training signal reaches its own weights only.

`cost_fn` maps samples to costs. `logits` are `[B, ..., K]` (`"categorical"`,
samples one-hot) or `[B, ...]` (`"bernoulli"`, samples zeros and ones). An
estimator that needs n evaluations of f per example asks for them in one
batch: `cost_fn` gets samples `[n·B, ...]` in float32, in which row s·B + i
belongs to example i, and returns `[n·B]` costs. What `cost_fn` captures per
example has to be repeated likewise: `tile_context(x, z)` does that, for any n.
The cost of a row must depend on that row alone.

`context` is what a learned baseline or control variate may look at, `[B,
...]`; `None` stands for the logits. It receives no gradient.

An estimator is a Keras layer, so that its weights are trained and saved with
the model that holds it; call `build(logits_shape, context_shape)` or let the
first call do so.
"""

from tfgumbel.estimators.arm import Arm
from tfgumbel.estimators.baseline import Baseline
from tfgumbel.estimators.disarm import Disarm
from tfgumbel.estimators.estimator import (
    Estimator,
    available,
    get,
    register,
    tile_context,
)
from tfgumbel.estimators.exact import Exact
from tfgumbel.estimators.gapped import Gapped
from tfgumbel.estimators.gumbel_rao import GumbelRao
from tfgumbel.estimators.gumbel_softmax import GumbelSoftmax
from tfgumbel.estimators.measure_valued import MeasureValued
from tfgumbel.estimators.muprop import Muprop
from tfgumbel.estimators.mve import Mve
from tfgumbel.estimators.nvil import Nvil
from tfgumbel.estimators.pathwise import Pathwise
from tfgumbel.estimators.rebar import Rebar
from tfgumbel.estimators.reinforce import Reinforce
from tfgumbel.estimators.reinmax import Reinmax
from tfgumbel.estimators.relax import Relax
from tfgumbel.estimators.rloo import Rloo
from tfgumbel.estimators.st import St
from tfgumbel.estimators.st_gumbel import StGumbel
from tfgumbel.estimators.vimco import Vimco
from tfgumbel.estimators.zgr import Zgr

__all__ = [
    "Arm",
    "Baseline",
    "Disarm",
    "Estimator",
    "Exact",
    "Gapped",
    "GumbelRao",
    "GumbelSoftmax",
    "MeasureValued",
    "Muprop",
    "Mve",
    "Nvil",
    "Pathwise",
    "Rebar",
    "Reinforce",
    "Reinmax",
    "Relax",
    "Rloo",
    "St",
    "StGumbel",
    "Vimco",
    "Zgr",
    "available",
    "get",
    "register",
    "tile_context",
]
