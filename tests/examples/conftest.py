"""What keeps the runs of the examples short."""

import keras
import pytest


@pytest.fixture
def without_xla(monkeypatch):
    """Trains in plain graphs: XLA compiles longer than a short run takes."""
    compile_model = keras.Model.compile

    def compile_plainly(self, *args, jit_compile=False, **kwargs):
        compile_model(self, *args, jit_compile=jit_compile, **kwargs)

    monkeypatch.setattr(keras.Model, "compile", compile_plainly)
