"""Every gate trains, and the experts' use is counted as it is."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

mixture_of_experts = load("mixture_of_experts")
pytestmark = pytest.mark.usefixtures("without_xla")


@pytest.mark.exhaustive
def test_a_short_run_routes(tmp_path, capsys):
    scores = mixture_of_experts.main(
        [
            f"--out={tmp_path}",
            "--gates",
            "st_gumbel",
            "--epochs=15",
            "--experts=4",
            "--hidden=16",
        ]
    )
    assert list(scores) == ["st_gumbel"]
    score = scores["st_gumbel"]
    # Three principal components leave 61 % of the variance.
    assert score.error < 0.61
    assert 0.5 <= score.usage <= 1.0
    assert 1.0 < score.perplexity <= 4.0
    assert f"{score.error:.1%}" in capsys.readouterr().out
    assert (tmp_path / "experts.png").stat().st_size > 10_000


def test_one_expert_is_asked_alone():
    weights = mixture_of_experts.one_expert(np.zeros((2, 3), "float32"), None)
    np.testing.assert_array_equal(weights, [[1, 0, 0]] * 2)


@pytest.mark.parametrize(("kind", "even"), [("diversity", 0), ("none", None)])
def test_the_balance_is_a_loss_of_the_gate(kind, even):
    """It passes logits through; 0 where the experts are asked alike."""
    args = mixture_of_experts.parse([f"--balance={kind}", "--experts=4"])
    model = mixture_of_experts.make_model("soft", args)
    model(np.zeros((5, 64), "float32"))  # no bias yet: even odds
    names = {layer.name for layer in model.layers}
    assert ("balance" in names) == (even is not None)
    if even is not None:
        (loss,) = model.get_layer("balance").losses
        assert float(loss) == pytest.approx(even, abs=1e-6)


def test_the_balance_stays_when_the_divergence_is_gone():
    args = mixture_of_experts.parse(["--experts=4", "--epochs=2"])
    model = mixture_of_experts.make_model("soft", args)
    train = mixture_of_experts.Digits(np.zeros((50, 64), "f"), np.zeros(50))
    mixture_of_experts.fit(model, train, args)
    assert float(model.get_layer("kl").weight) == 0.0
    assert float(model.get_layer("balance").weight) == args.balance_weight


@pytest.mark.parametrize("gate", ["soft", "reinmax", "st_gumbel", "reinforce"])
def test_a_hard_gate_asks_one_expert_in_training_and_after(gate):
    keras.utils.set_random_seed(0)
    args = mixture_of_experts.parse(["--experts=4", "--hidden=16"])
    model = mixture_of_experts.make_model(gate, args)
    pixels = np.random.default_rng(0).random((50, 64), dtype="float32")
    # A `ReinforceSampler` is trained by `fit` alone.
    for training in (gate != "reinforce", False):
        weights = np.array(model(pixels, training=training)["expert"])
        np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
        asked = np.sum(weights > 1e-5, axis=1)
        np.testing.assert_array_equal(asked, 4 if gate == "soft" else 1)
