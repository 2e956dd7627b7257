"""Temperatures recommended for the concrete distribution."""

from __future__ import annotations

from tfgumbel import _checks

_PUBLISHED = {
    "posterior": {2: 2 / 3, 4: 1.0, 8: 2 / 3},
    "prior": {2: 1 / 2, 4: 2 / 3, 8: 2 / 5},
}


def recommended_temperature(categories: int, role: str = "posterior") -> float:
    """The τ that Maddison et al. found to work for K categories.

    | K | posterior | prior |
    |---|---|---|
    | 2 (Bernoulli) | 2/3 | 1/2 |
    | 4 | 1 | 2/3 |
    | 8 | 2/3 | 2/5 |

    They published no others. For any other K this returns 2/3, which they
    found the best single value, for either role. The posterior's temperature
    is that of the samples; the prior's matters only to the density of the
    relaxed prior, as in a relaxed ELBO.

    The density has no mode inside the simplex for τ ≤ 1/(K - 1), which these
    values exceed from K = 4 on: the bound is a guide to how discrete samples
    look, not a recommendation.

    Args:
        categories: K, at least 2; 2 for `BinaryConcrete`.
        role: `"posterior"` or `"prior"`.

    Returns:
        τ.

    Raises:
        TypeError: If K is no integer.
        ValueError: If K < 2, or the role is unknown.

    Example:

    >>> import tfgumbel as tg
    >>> layer = tg.GumbelSoftmax(tg.recommended_temperature(4))
    >>> float(layer.temperature)
    1.0

    Reference:
        Maddison, Mnih, Teh. The Concrete distribution. ICLR 2017.
    """
    if _checks.positive_integer("categories", categories) < 2:
        raise ValueError(
            "Argument `categories` must be at least 2. "
            f"Received: categories={categories}"
        )
    _checks.choice("role", role, sorted(_PUBLISHED))
    return _PUBLISHED[role].get(categories, 2 / 3)
