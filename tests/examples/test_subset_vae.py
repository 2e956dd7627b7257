"""The VAE of subsets descends a bound, and draws what it learned."""

import keras
import numpy as np
import pytest

import tfgumbel as tg
from tests.examples.loading import load

subset_vae = load("subset_vae")
pytestmark = pytest.mark.usefixtures("without_xla")

TINY = ["--groups=3", "--items=4", "--k=2", "--hidden", "16"]


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    bounds = subset_vae.main(
        [f"--out={tmp_path}", "--epochs=6", "--samples=2", *TINY]
    )
    assert list(bounds) == ["marginal", "relaxed", "implicit_mle"]
    # Grey levels of one half everywhere would have 44.4 nats.
    assert all(bound < 40 for bound in bounds.values())
    printed = capsys.readouterr().out
    assert all(f"{bound:.2f}" in printed for bound in bounds.values())
    assert (tmp_path / "subsets.png").stat().st_size > 10_000


@pytest.mark.parametrize("name", subset_vae.SAMPLERS)
def test_the_bound_is_that_of_enumeration(name):
    """Of a decoder to which all codes are one, whatever the sampler."""
    keras.utils.set_random_seed(0)
    args = subset_vae.parse([*TINY, "--samples=1"])
    model = subset_vae.make_vae(args, 64, name)
    logits = np.random.default_rng(0).normal(size=64)
    model.layers[-1].set_weights([np.zeros((16, 64)), logits])
    x = np.random.default_rng(1).uniform(size=(5, 64)).astype("float32")

    bound = subset_vae.test_bound(model, x, samples=1)

    cross_entropy = np.log1p(np.exp(logits)) - x * logits
    code = keras.Model(model.input, model.get_layer("kl").output)(x)
    subsets = tg.ops.enumerate_subsets(4, k=2)
    log_q = np.einsum("bdn,sn->bds", code, subsets)
    log_q -= np.log(np.exp(log_q).sum(-1, keepdims=True))
    divergence = np.sum(np.exp(log_q) * (log_q + np.log(6)), axis=(1, 2))
    expected = np.mean(cross_entropy.sum(axis=1) + divergence)
    np.testing.assert_allclose(bound, expected, rtol=1e-5)


def test_more_items_than_there_are(capsys):
    with pytest.raises(SystemExit):
        subset_vae.parse(["--k=5", "--items=4"])
    assert (
        "argument --k: must be at most --items, 4: 5" in capsys.readouterr().err
    )
