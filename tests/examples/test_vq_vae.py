"""The quantizers differ as they should; codes and prior fit together."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

vq_vae = load("vq_vae")
pytestmark = pytest.mark.usefixtures("without_xla")
TINY = ["--codes=16", "--dim=4", "--channels=4", "--units=8"]


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    scores = vq_vae.main(
        [f"--out={tmp_path}", "--steps=200", "--prior-steps=100", *TINY]
    )
    assert list(scores.error) == list(vq_vae.RUNS)
    # Fair coins have 44.4 nats.
    assert all(error < 30 for error in scores.error.values())
    assert scores.usage["revived"] > scores.usage["nearest"]
    assert scores.error["revived"] < scores.bound < 44
    assert f"{scores.bound:.1f}" in capsys.readouterr().out
    assert (tmp_path / "codes.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", vq_vae.RUNS)
def test_the_runs_differ_in_their_quantizer(name):
    args = vq_vae.parse(TINY)
    layer = vq_vae.make_quantizer(name, args)
    assert (layer.estimator == "nearest") == (name == "nearest")
    assert (layer.usage_loss is not None) == (name == "usage")
    assert (layer.revive_after is not None) == (name == "revived")


@pytest.mark.full
def test_the_prior_looks_at_former_places_alone():
    keras.utils.set_random_seed(0)
    args = vq_vae.parse(TINY)
    prior = vq_vae.make_prior(9, args)
    codes = np.random.default_rng(0).integers(16, size=(1, 9)).astype("int32")
    for place in range(9):
        other = codes.copy()
        other[0, place] = (other[0, place] + 1) % 16
        logits, changed = (
            prior(vq_vae.one_late(c, 16)).numpy()[0] for c in (codes, other)
        )
        np.testing.assert_array_equal(logits[: place + 1], changed[: place + 1])
        if place < 8:
            assert np.any(logits[place + 1] != changed[place + 1])


@pytest.mark.full
def test_generated_codes_are_decoded():
    """A prior that is sure of one code gives the image of that code."""
    keras.utils.set_random_seed(0)
    args = vq_vae.parse(TINY)
    model = vq_vae.make_vae("revived", 8, args)
    prior = vq_vae.make_prior(16, args)
    kernel = np.zeros((8, 16), "float32")
    prior.layers[-1].set_weights([kernel, 100.0 * np.eye(16)[5]])
    images = vq_vae.generated(prior, model, 2)
    codes = model.get_layer("codes").decode(np.full((1, 4, 4), 5))
    decoder = keras.Model(model.get_layer("codes").output, model.output)
    expected = keras.ops.sigmoid(decoder(codes)).numpy()[..., 0]
    assert images.shape == (2, 8, 8)
    np.testing.assert_allclose(images, np.repeat(expected, 2, 0), rtol=1e-5)
