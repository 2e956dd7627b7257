"""The registers of names, kept as they are where code of users runs."""

import contextlib

from tfgumbel.distributions import _register
from tfgumbel.estimators import estimator


@contextlib.contextmanager
def unchanged():
    """Forgets the distributions and estimators registered inside."""
    registers = (_register._REGISTER, estimator._REGISTER, estimator._ALIASES)
    before = [dict(register) for register in registers]
    try:
        yield
    finally:
        for register, entries in zip(registers, before, strict=True):
            register.clear()
            register.update(entries)
