"""The pruned network is smaller, and answers as the gated one."""

import keras
import numpy as np
import pytest

import tfgumbel as tg
from tests.examples.loading import load

pruned_network = load("pruned_network")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.mark.exhaustive
def test_a_short_run_prunes(tmp_path, capsys):
    before, after = pruned_network.main(
        [
            f"--out={tmp_path}",
            "--hidden",
            "40",
            "--epochs=25",
            "--learning-rate=0.01",
            "--weight=0.02",
        ]
    )
    assert abs(before - after) < 0.004 and after > 0.85
    printed = capsys.readouterr().out
    assert "of 64" in printed and "of 40" in printed
    smaller = keras.models.load_model(tmp_path / "pruned.keras")
    assert smaller.layers[0].units < 40
    assert (tmp_path / "pruned.png").stat().st_size > 10_000


def test_weights_that_are_used():
    """Of the pixels that are read, and of the units that are left."""
    args = pruned_network.parse(["--hidden", "5", "4"])
    model = pruned_network.make_model(64, args)
    gates = [x for x in model.layers if isinstance(x, tg.StochasticGate)]
    for gate, opened in zip(gates, (10, 3, 2), strict=True):
        count = gate.gates.shape[0]
        gate.gates.assign(np.where(np.arange(count) < opened, 3.0, -9.0))
    smaller = tg.prune_gates(model)
    used = pruned_network.weights_used(smaller, 10)
    assert used == (10 + 1) * 3 + (3 + 1) * 2 + (2 + 1) * 10
