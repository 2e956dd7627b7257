"""Checks of what a distribution can do beyond samples and densities."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfgumbel.distributions import (
    Antithetic,
    Categories,
    ClosedFormKL,
    Conditioned,
    Relaxed,
    Reparameterized,
    WeaklyDifferentiable,
)
from tfgumbel.estimators.algebra import score
from tfgumbel.testing import _measure
from tfgumbel.testing._run import (
    Fault,
    Finding,
    NotApplicable,
    changed,
    check,
    in_errors,
    packed,
)
from tfgumbel.testing._samples import Samples

OF_THE_SCORE = "distance from the score function's gradient"


@check(
    "reparameterised sample",
    "A reparameterised sample is a sample, and has the gradient of its mean",
    "let the gradient flow from the sample to every learned parameter, and "
    "draw noise that does not depend on them",
)
def reparameterised_sample(subject: Samples) -> Finding:
    distribution = subject.require(Reparameterized)
    parameters = subject.parameters(subject.many)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        sample = distribution.reparameterize(parameters, subject.seed())
        cost = subject.cost(sample)
    figure = _measure.between_distributions(sample, subject.drawn)
    if figure > _measure.KOLMOGOROV:
        return Finding(
            "distance from `sample`, by Kolmogorov and Smirnov",
            figure,
            _measure.KOLMOGOROV,
        )
    gradients = tape.gradient(cost, subject.learned(parameters))
    if any(g is None for g in gradients):
        raise Fault("no gradient in a learned parameter")
    subject.require_variety()
    exact = subject.score_gradient()
    figures = map(_measure.between_means, map(_measure.rows, gradients), exact)
    return in_errors(list(figures), OF_THE_SCORE)


@check(
    "weak derivatives",
    "Weak derivatives give the gradient of an expectation",
    "check constant and pair of each parameter: c (E f(x⁺) - E f(x⁻))",
)
def weak_derivatives(subject: Samples) -> Finding:
    distribution = subject.require(WeaklyDifferentiable)
    subject.require_variety()
    parameters = subject.parameters(subject.many)
    found = distribution.weak_derivatives(parameters, subject.seed())
    exact = dict(
        zip(distribution.learned(), subject.score_gradient(), strict=True)
    )
    figures = []
    for name, weak in found.items():
        if name not in exact:
            continue
        each = [_weak(subject, weak, v) for v in range(exact[name].shape[1])]
        figures.append(
            _measure.between_means(np.stack(each, axis=1), exact[name])
        )
    if not figures:
        raise NotApplicable("the parameters of a variable are several")
    return in_errors(figures, OF_THE_SCORE)


def _weak(subject: Samples, weak: Any, variable: int) -> np.ndarray:
    """The estimate for one variable, others as they were drawn."""
    flat = tf.reshape(subject.drawn, [subject.many, -1])
    chosen = tf.one_hot(variable, flat.shape[1]) > 0
    sides = [
        subject.cost(tf.where(chosen, tf.reshape(side, flat.shape), flat))
        for side in (weak.positive, weak.negative)
    ]
    constant = tf.reshape(weak.constant, flat.shape)[:, variable]
    return np.asarray(constant * (sides[0] - sides[1]))


@check(
    "relaxation",
    "Perturbed parameters harden to a sample, and soften towards it",
    "`harden(perturb(parameters, noise))` is the sample, and `soften` of the "
    "same goes to it as the temperature goes to zero",
)
def relaxation(subject: Samples) -> Finding:
    distribution = subject.require(Relaxed)
    parameters = subject.parameters(subject.many)
    noise = distribution.noise(parameters, subject.seed())
    perturbed = distribution.perturb(parameters, noise)
    hard = distribution.harden(perturbed)
    cold = distribution.soften(perturbed, 1e-3)
    far = np.mean(np.abs(np.asarray(hard) - np.asarray(cold)) > 0.05)
    if far > 0.02:
        raise Fault(
            f"at a temperature of 0.001 {far:.0%} of the relaxed entries are "
            "not near the sample's"
        )
    return in_errors(
        _measure.between_means(hard, subject.drawn),
        "distance of the mean from that of `sample`",
    )


@check(
    "conditioned noise",
    "Noise given the sample hardens to it, and is the noise if the sample is "
    "forgotten",
    "check the conditional formula: a truncated Gumbel or logistic variable",
)
def conditioned_noise(subject: Samples) -> Finding:
    distribution = subject.require(Conditioned)
    parameters = subject.parameters(subject.many)
    first, second = (
        distribution.noise(parameters, subject.seed()) for _ in range(2)
    )
    again = distribution.perturb_given(parameters, subject.drawn, first)
    wrong = np.mean(distribution.harden(again) != subject.drawn)
    if wrong > 0:
        raise Fault(f"{wrong:.1%} of the entries harden to something else")
    plain = distribution.perturb(parameters, second)
    return Finding(
        "distance from unconditional noise, by Kolmogorov and Smirnov",
        _measure.between_distributions(again, plain),
        _measure.KOLMOGOROV,
    )


@check(
    "tied noise",
    "z less z given its own sample is zero, with the gradients of both",
    "check `tied_difference`: the derivative of `perturb` less that of "
    "`perturb_given` at the sample of z, whose noise gives z and is held fixed",
)
def tied_noise(subject: Samples) -> Finding:
    distribution = subject.require(Conditioned)
    parameters = subject.parameters(subject.many)
    noise = distribution.noise(parameters, subject.seed())
    free = distribution.perturb(parameters, noise)
    with tf.GradientTape() as tape:
        tape.watch(free)
        cost = _wave(free)
    slope = tape.gradient(cost, free)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        difference = distribution.tied_difference(parameters, noise)
    if np.max(np.abs(difference)) > 1e-3:
        raise Fault("its value is not zero")
    # ∇E c(z) = E ∇c(z) = E [c(z) ∇log q + ∇c(z̃)].
    path = tape.gradient(difference, parameters, output_gradients=slope)
    scores = score(distribution, parameters, distribution.harden(free))
    weight = tf.reshape(cost, [-1] + [1] * (free.shape.rank - 1))
    figures = [
        _measure.between_means(weight * direct, through)
        for direct, through in zip(scores, path, strict=True)
    ]
    return in_errors(figures, "distance of both sides of REBAR's identity")


def _wave(perturbed: tf.Tensor) -> tf.Tensor:
    """A bounded, smooth function of perturbed parameters, `[n]`."""
    flat = tf.reshape(perturbed, [tf.shape(perturbed)[0], -1])
    weights = tf.cos(tf.range(flat.shape[1], dtype=flat.dtype))
    return tf.reduce_sum(weights * tf.tanh(flat), axis=1)


@check(
    "antithetic samples",
    "Both samples of an antithetic pair are samples",
    "take the second from the opposite of the first one's noise",
)
def antithetic_samples(subject: Samples) -> Finding:
    distribution = subject.require(Antithetic)
    parameters = subject.parameters(subject.many)
    first, second, _ = distribution.antithetic(parameters, subject.seed())
    figures = [
        _measure.between_means(side, subject.drawn) for side in (first, second)
    ]
    return in_errors(figures, "distance of the means from that of `sample`")


@check(
    "categories",
    "Samples become categories and back, with the same log-probability",
    "`to_categories` gives logits and one-hots that agree with `log_probs`, "
    "`from_categories` the sample again",
)
def categories(subject: Samples) -> Finding:
    distribution = subject.require(Categories)
    parameters, sample = subject.parameters(256), subject.drawn[:256]
    logits, one_hot, axis = distribution.to_categories(parameters, sample)
    if not np.array_equal(distribution.from_categories(one_hot), sample):
        raise Fault("the sample that comes back is another")
    log_q = tf.reduce_sum(tf.nn.log_softmax(logits, axis) * one_hot, axis)
    exact = distribution.log_probs(parameters, sample)
    return Finding(
        "difference of log-probabilities",
        float(np.max(np.abs(log_q - exact))),
        1e-4,
    )


@check(
    "divergence",
    "The closed KL divergence is the mean log-ratio",
    "check the formula, and which of the two is q: KL(q ‖ p) = E_q log q/p",
)
def divergence(subject: Samples) -> Finding:
    distribution = subject.require(ClosedFormKL)
    subject.require_variety()
    parameters = subject.parameters(subject.many)
    inputs = tf.nest.flatten(subject.inputs(subject.many))
    moved = changed(distribution, inputs, lambda a: a * 0.5 + 0.8)
    prior = distribution.constrain(packed(moved))
    log_q, log_p = (
        distribution.log_probs(p, subject.drawn) for p in (parameters, prior)
    )
    exact = distribution.kl(parameters, prior)
    return in_errors(_measure.from_mean(log_q - log_p, exact[0]))


CHECKS = (
    reparameterised_sample,
    weak_derivatives,
    relaxation,
    conditioned_noise,
    tied_noise,
    antithetic_samples,
    categories,
    divergence,
)
