"""All subsets of k of n, for few items."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from tfgumbel import _checks

# 2^20 rows of 20 items are 80 MiB.
_MOST = 2**20


def enumerate_subsets(n: int, k: Any) -> np.ndarray:
    """Every subset of k of n items, as rows of zeros and ones.

    Args:
        n: Number of items.
        k: Size of the subsets, or a pair (low, high) for any size in between.

    Returns:
        A float32 array of shape `[N, n]`, smaller subsets first, in
        lexicographic order of their items.

    Raises:
        TypeError: If n or k is not an integer.
        ValueError: If k is out of range or there are more than 2^20 subsets.

    Example:

    >>> import tfgumbel as tg
    >>> tg.ops.enumerate_subsets(3, k=2)
    array([[1., 1., 0.],
           [1., 0., 1.],
           [0., 1., 1.]], dtype=float32)
    """
    n = _checks.positive_integer("n", n)
    low, high = k if isinstance(k, tuple) and len(k) == 2 else (k, k)
    for size in (low, high):
        if isinstance(size, bool) or not isinstance(size, (int, np.integer)):
            raise TypeError(
                "Argument `k` must be an integer or a pair of integers. "
                f"Received: k={k!r}"
            )
    if not 0 <= low <= high <= n:
        raise ValueError(
            f"Argument `k` must lie between 0 and the number of items, {n}. "
            f"Received: k={k!r}"
        )
    count = sum(math.comb(n, size) for size in range(low, high + 1))
    if count > _MOST:
        raise ValueError(
            f"Arguments `n` and `k` must give at most {_MOST} subsets. "
            f"Received: n={n}, k={k!r}, which give {count}"
        )
    subsets = np.zeros([count, n], np.float32)
    row = 0
    for size in range(low, high + 1):
        chosen = np.array(
            list(itertools.combinations(range(n), size)), np.intp
        ).reshape(math.comb(n, size), size)
        index = np.arange(row, row + len(chosen))[:, None]
        subsets[index, chosen] = 1.0
        row += len(chosen)
    return subsets
