"""Assertions on random samples, and exact expectations by enumeration.

Seeds are literal, so that a test either always passes or always fails. A
correct sampler fails a p-value of 1e-4 for one seed in ten thousand.
"""

import itertools

import numpy as np
import scipy.stats

P_VALUE = 1e-4


def assert_distribution(sample, cdf):
    """Kolmogorov-Smirnov test of a sample against a scipy cdf."""
    sample = np.asarray(sample, np.float64).ravel()
    p_value = scipy.stats.kstest(sample, cdf).pvalue
    assert p_value > P_VALUE, f"p = {p_value:.2g}"


def assert_frequencies(indices, probabilities, least=100):
    """Chi-square test of category indices.

    Every category must be expected at least `least` times: fewer would give
    the test no power on the rare ones.
    """
    probabilities = np.asarray(probabilities, np.float64)
    indices = np.asarray(indices).ravel()
    counts = np.bincount(indices, minlength=len(probabilities))
    expected = probabilities / probabilities.sum() * len(indices)
    assert expected.min() >= least, "too few samples for the rarest category"
    p_value = scipy.stats.chisquare(counts, expected).pvalue
    assert p_value > P_VALUE, f"p = {p_value:.2g}: {counts} for {expected}"


def assert_mean(samples, expected, smallest_bias):
    """The mean over axis 0 lies within 5 standard errors of `expected`.

    `smallest_bias` is what the test must be able to see: 5 standard errors
    have to be smaller.
    """
    samples = np.asarray(samples, np.float64)
    standard_error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    assert np.all(5 * standard_error < smallest_bias), "too few samples"
    error = np.abs(samples.mean(axis=0) - expected)
    assert np.all(error < 5 * standard_error + 1e-12), (
        f"mean {samples.mean(axis=0)} for {expected}, "
        f"standard error {standard_error}"
    )


def assert_same_mean(first, second, smallest_difference):
    """The means of two samples differ by 5 standard errors at most.

    `smallest_difference` is what the test must be able to see.
    """
    samples = [np.asarray(sample, np.float64) for sample in (first, second)]
    squares = [s.var(axis=0, ddof=1) / len(s) for s in samples]
    standard_error = np.sqrt(sum(squares))
    assert np.all(5 * standard_error < smallest_difference), standard_error
    difference = np.abs(samples[0].mean(axis=0) - samples[1].mean(axis=0))
    assert np.all(difference < 5 * standard_error + 1e-12), (
        f"difference {difference}, standard error {standard_error}"
    )


def one_hots(categories):
    """Every one-hot vector, `[K, K]`."""
    return np.eye(categories, dtype=np.float32)


def bit_strings(bits):
    """Every string of `bits` bits, `[2^D, D]`."""
    strings = list(itertools.product([0.0, 1.0], repeat=bits))
    return np.array(strings, np.float32)


def plackett_luce(logits, k):
    """Every ordered k-tuple of categories, `[N, k]`, and its probability.

    Each category is drawn from softmax(logits) over those that are left.
    """
    p = softmax(logits)
    tuples = np.array(list(itertools.permutations(range(len(p)), k)))
    chosen = p[tuples]
    left = 1.0 - (np.cumsum(chosen, axis=1) - chosen)
    ratios = np.divide(chosen, left, np.zeros_like(left), where=chosen > 0)
    return tuples, np.prod(ratios, axis=1)


def subset_law(logits, k):
    """Every k-hot vector, `[N, K]`, and its probability."""
    tuples, p = plackett_luce(logits, k)
    orders = np.sum(np.eye(len(np.ravel(logits)))[tuples], axis=1)
    k_hots, which = np.unique(orders, axis=0, return_inverse=True)
    return k_hots, np.bincount(which.ravel(), p)


def softmax(logits, axis=-1):
    """Softmax in float64."""
    return scipy.special.softmax(np.asarray(logits, np.float64), axis=axis)


def sigmoid(logits):
    """Logistic function in float64."""
    return scipy.special.expit(np.asarray(logits, np.float64))
