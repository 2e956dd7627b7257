"""Pure tensor functions; noise is an argument.

Shapes: `B` is the batch, `D` the number of variables, `K` the number of
categories. Logits of categorical variables are `[..., K]` unless `axis` says
otherwise; those of Bernoulli variables have any shape. Half precision is
computed in float32 and cast back at the end. Every gradient written by hand
here is itself differentiable. `tf.vectorized_map` drops such gradients, so that
a tape around it sees zeros for hard samples: call an op on the whole batch, use
`tf.map_fn`, or have the tape in the function that is mapped. So does a
`tf.autodiff.ForwardAccumulator` inside a `tf.function`: have it outside.
"""

from tfgumbel.ops._pathwise import (
    GAMMA_PROPOSALS,
    VON_MISES_PROPOSALS,
    inverse_gaussian_sample,
    log_gamma_sample,
    normal_mixture_sample,
    truncated_normal_log_prob,
    truncated_normal_sample,
    von_mises_sample,
)
from tfgumbel.ops._surrogate import SURROGATES, Surrogate
from tfgumbel.ops.binary_concrete import binary_concrete
from tfgumbel.ops.binary_concrete_log_probs import (
    binary_concrete_log_prob,
    logit_binary_concrete_log_prob,
)
from tfgumbel.ops.category_mask import mask_logits, mask_sample
from tfgumbel.ops.concrete_log_probs import (
    concrete_log_prob,
    exp_concrete_log_prob,
)
from tfgumbel.ops.conditional_gumbel import conditional_gumbel
from tfgumbel.ops.conditional_logistic import conditional_logistic
from tfgumbel.ops.cost_to_go import cost_to_go
from tfgumbel.ops.enumerate_subsets import enumerate_subsets
from tfgumbel.ops.exp_concrete import exp_concrete
from tfgumbel.ops.gapped_straight_through import gapped_straight_through
from tfgumbel.ops.gaussian import (
    GAUSSIAN_PARAMETERIZATIONS,
    gaussian_stddev,
    reparameterize_gaussian,
)
from tfgumbel.ops.gaussian_gate import (
    gaussian_gate,
    gaussian_gate_mode,
    gaussian_gate_open_probability,
)
from tfgumbel.ops.gaussian_tril import (
    gaussian_tril,
    gaussian_tril_log_prob,
    gaussian_tril_size,
    reparameterize_gaussian_tril,
)
from tfgumbel.ops.group import group, ungroup
from tfgumbel.ops.gumbel_max import exponential_min, gumbel_max
from tfgumbel.ops.gumbel_rao import gumbel_rao
from tfgumbel.ops.gumbel_sinkhorn import gumbel_sinkhorn, sinkhorn
from tfgumbel.ops.gumbel_softmax import gumbel_softmax
from tfgumbel.ops.gumbel_top_k import gumbel_top_k, k_hot_top
from tfgumbel.ops.hard_concrete import (
    hard_concrete,
    hard_concrete_mode,
    hard_concrete_open_probability,
)
from tfgumbel.ops.implicit_mle import implicit_mle
from tfgumbel.ops.implicit_reparameterization import (
    implicit_reparameterization,
)
from tfgumbel.ops.kl_divergences import (
    bernoulli_kl,
    categorical_kl,
    gaussian_kl,
    gaussian_tril_kl,
)
from tfgumbel.ops.log_probs import (
    bernoulli_log_prob,
    categorical_log_prob,
    gaussian_log_prob,
)
from tfgumbel.ops.logit_binary_concrete import logit_binary_concrete
from tfgumbel.ops.maximal_matching import maximal_matching
from tfgumbel.ops.minimum_variance_straight_through import (
    minimum_variance_straight_through,
)
from tfgumbel.ops.plackett_luce_log_prob import plackett_luce_log_prob
from tfgumbel.ops.quantize import (
    choose_code,
    code_logits,
    nearest_code,
    quantize,
)
from tfgumbel.ops.recommended_temperature import recommended_temperature
from tfgumbel.ops.reinmax import reinmax
from tfgumbel.ops.relaxed_top_k import relaxed_top_k
from tfgumbel.ops.sample_permutation import (
    enumerate_permutations,
    permutation_matrix,
    permutation_mode,
    sample_permutation,
)
from tfgumbel.ops.sample_subset import sample_subset
from tfgumbel.ops.score_function_cost import score_function_cost
from tfgumbel.ops.soft_sort import neural_sort, soft_sort
from tfgumbel.ops.straight_through import (
    straight_through,
    straight_through_bernoulli,
)
from tfgumbel.ops.straight_through_embedding import (
    straight_through_embedding,
)
from tfgumbel.ops.straight_through_subset import straight_through_subset
from tfgumbel.ops.subset_entropy import subset_entropy, subset_kl
from tfgumbel.ops.subset_log_normalizer import subset_log_normalizer
from tfgumbel.ops.subset_log_prob import subset_log_prob
from tfgumbel.ops.subset_marginals import subset_marginals
from tfgumbel.ops.subset_mode import subset_mode
from tfgumbel.ops.zgr import zgr

__all__ = [
    "GAMMA_PROPOSALS",
    "GAUSSIAN_PARAMETERIZATIONS",
    "SURROGATES",
    "Surrogate",
    "VON_MISES_PROPOSALS",
    "bernoulli_kl",
    "bernoulli_log_prob",
    "binary_concrete",
    "binary_concrete_log_prob",
    "categorical_kl",
    "categorical_log_prob",
    "choose_code",
    "code_logits",
    "concrete_log_prob",
    "conditional_gumbel",
    "conditional_logistic",
    "cost_to_go",
    "enumerate_permutations",
    "enumerate_subsets",
    "exp_concrete",
    "exp_concrete_log_prob",
    "exponential_min",
    "gapped_straight_through",
    "gaussian_gate",
    "gaussian_gate_mode",
    "gaussian_gate_open_probability",
    "gaussian_kl",
    "gaussian_log_prob",
    "gaussian_stddev",
    "gaussian_tril",
    "gaussian_tril_kl",
    "gaussian_tril_log_prob",
    "gaussian_tril_size",
    "group",
    "gumbel_max",
    "gumbel_rao",
    "gumbel_sinkhorn",
    "gumbel_softmax",
    "gumbel_top_k",
    "hard_concrete",
    "hard_concrete_mode",
    "hard_concrete_open_probability",
    "implicit_mle",
    "implicit_reparameterization",
    "inverse_gaussian_sample",
    "k_hot_top",
    "log_gamma_sample",
    "logit_binary_concrete",
    "logit_binary_concrete_log_prob",
    "mask_logits",
    "mask_sample",
    "maximal_matching",
    "minimum_variance_straight_through",
    "nearest_code",
    "neural_sort",
    "normal_mixture_sample",
    "permutation_matrix",
    "permutation_mode",
    "plackett_luce_log_prob",
    "quantize",
    "recommended_temperature",
    "reinmax",
    "relaxed_top_k",
    "reparameterize_gaussian",
    "reparameterize_gaussian_tril",
    "sample_permutation",
    "sample_subset",
    "score_function_cost",
    "sinkhorn",
    "soft_sort",
    "straight_through",
    "straight_through_bernoulli",
    "straight_through_embedding",
    "straight_through_subset",
    "subset_entropy",
    "subset_kl",
    "subset_log_normalizer",
    "subset_log_prob",
    "subset_marginals",
    "subset_mode",
    "truncated_normal_log_prob",
    "truncated_normal_sample",
    "ungroup",
    "von_mises_sample",
    "zgr",
]
