"""Distributions q(z): one file each, behind one contract.

    parameters = distribution.constrain(inputs)
    sample = distribution.sample(parameters, seed)
    log_prob = distribution.log_prob(parameters, sample)

`inputs` are unconstrained tensors `[B, ...]`, as a network puts them out: a
tuple, or one tensor. `constrain` checks them and maps each to its parameter by
a fixed bijection, the same wherever the distribution is used; all other
methods take its result. A distribution always has `sample` (exact, without a
gradient, from a seed), `log_probs` (nats, one number per variable) and
`log_prob` (their sum, one per example), and for when nothing is drawn one or
more of `mean`, `mode` and `median`, named by `inference`. What it has beyond,
its capabilities, are the protocols of `capabilities`: layers and estimators ask
for the ones they need.

| name | inputs | inference | KL |
|---|---|---|---|
| `"categorical"` | logits `[..., K]` | mode, sample, mean | closed |
| `"bernoulli"` | logits | mode, sample, mean | closed |
| `"gaussian"` | mean, log_variance | mean, mode, sample | closed |
| `"exponential"` | log_rate* | mean, mode, sample | closed |
| `"gamma"` | concentration⁺, rate⁺ | mean, mode, sample | closed |
| `"weibull"` | concentration⁺, log_scale* | mean, mode, sample | closed |
| `"inverse_gaussian"` | mean⁺, shape⁺ | mean, mode, sample | closed |
| `"beta"` | concentration1⁺, concentration0⁺ | mean, sample | closed |
| `"dirichlet"` | concentration⁺ `[..., K]` | mean, sample | closed |
| `"kumaraswamy"` | concentration1⁺, concentration0⁺ | mean, sample | MC |
| `"logistic_normal"` | mean, stddev⁺ | median, sample | closed |
| `"laplace"` | location, scale⁺ | mean, mode, sample | closed |
| `"student_t"` | df⁺, location, scale⁺ | mode, sample | MC |
| `"truncated_normal"` | location, scale⁺; `bounds=` | mean, mode, sample | MC |
| `"von_mises"` | location, concentration⁺ | mean, mode, sample | closed |
| `"mixture"` | logits, mean, stddev⁺, each `[..., K]` | mean, sample | MC |
| `"poisson"` | log_rate* | mode, sample, mean | closed |
| `"binomial"` | total_count (constant), logits | mode, sample, mean | closed |
| `"subset"` | logits `[..., n]`; `k=` | mode, sample, mean | closed |
| `"permutation"` | logits `[..., n]` | mode, sample | none |

⁺ is softplus(min(x, e¹⁵)) + e⁻¹⁵ (`positive`), * is exp of x clipped to
[-30, 30] (`from_log`), and real numbers are clipped to [-e²⁰, e²⁰] (`real`), so
that no input is invalid. The first entry of "inference" is the default. MC: by
samples, as in `KLDivergence`. `Gaussian` has other parameterisations, and
`Subset` takes the size as an input, too.

Every layer and estimator that takes a distribution takes a name, a name with
options (`distribution="truncated_normal", bounds=(0, 1)`), or an object
(`distribution=tg.distributions.TruncatedNormal(bounds=(0, 1))`).
"""

from tfgumbel.distributions._register import (
    available,
    get,
    options_among,
    register,
    serialize,
)
from tfgumbel.distributions.bernoulli import Bernoulli
from tfgumbel.distributions.beta import Beta
from tfgumbel.distributions.bijections import from_log, positive, real
from tfgumbel.distributions.binomial import Binomial
from tfgumbel.distributions.capabilities import (
    CAPABILITIES,
    Antithetic,
    Categories,
    ClosedFormKL,
    Conditioned,
    Enumerable,
    Maskable,
    Mean,
    Relaxed,
    Reparameterized,
    Scored,
    WeakDerivative,
    WeaklyDifferentiable,
)
from tfgumbel.distributions.categorical import Categorical
from tfgumbel.distributions.dirichlet import Dirichlet
from tfgumbel.distributions.distribution import (
    Distribution,
    Parameters,
    described,
    per_example,
)
from tfgumbel.distributions.exponential import Exponential
from tfgumbel.distributions.gamma import Gamma
from tfgumbel.distributions.gaussian import PARAMETERIZATIONS, Gaussian
from tfgumbel.distributions.inverse_gaussian import InverseGaussian
from tfgumbel.distributions.kumaraswamy import Kumaraswamy
from tfgumbel.distributions.laplace import Laplace
from tfgumbel.distributions.logistic_normal import LogisticNormal
from tfgumbel.distributions.mixture import Mixture
from tfgumbel.distributions.permutation import Permutation
from tfgumbel.distributions.poisson import Poisson
from tfgumbel.distributions.student_t import StudentT
from tfgumbel.distributions.subset import Subset
from tfgumbel.distributions.truncated_normal import TruncatedNormal
from tfgumbel.distributions.von_mises import VonMises
from tfgumbel.distributions.weibull import Weibull

__all__ = [
    "CAPABILITIES",
    "PARAMETERIZATIONS",
    "Antithetic",
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Categories",
    "ClosedFormKL",
    "Conditioned",
    "Dirichlet",
    "Distribution",
    "Enumerable",
    "Exponential",
    "Gamma",
    "Gaussian",
    "InverseGaussian",
    "Kumaraswamy",
    "Laplace",
    "LogisticNormal",
    "Maskable",
    "Mean",
    "Mixture",
    "Parameters",
    "Permutation",
    "Poisson",
    "Relaxed",
    "Reparameterized",
    "Scored",
    "StudentT",
    "Subset",
    "TruncatedNormal",
    "VonMises",
    "WeakDerivative",
    "WeaklyDifferentiable",
    "Weibull",
    "available",
    "described",
    "from_log",
    "get",
    "options_among",
    "per_example",
    "positive",
    "real",
    "register",
    "serialize",
]
