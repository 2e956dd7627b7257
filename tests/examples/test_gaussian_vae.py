"""The Gaussian VAE trains, writes its files, and its bound is the right one."""

import re

import keras
import numpy as np
import pytest

from tests.examples.loading import load

example = load("gaussian_vae")

SMALL = ["--epochs=5", "--hidden", "64", "--verbose=0", "--samples=4"]
FILES = {"history.png", "latent.png", "model.keras", "reconstructions.png"}


def bound_by_definition(model, images, samples):
    """E[-log p(x|z) + log q(z|x) - log p(z)], without a layer of ours."""
    random = np.random.default_rng(0)
    mean, log_variance = (
        np.array(part, "float64") for part in model.get_layer("encoder")(images)
    )
    values = []
    for _ in range(samples):
        noise = random.normal(size=mean.shape)
        z = mean + np.exp(log_variance / 2) * noise
        logits = model.get_layer("decoder")(z.astype("float32"))
        p = 1 / (1 + np.exp(-np.array(logits, "float64")))
        pixels = images * np.log(p) + (1 - images) * np.log1p(-p)
        log_ratio = 0.5 * (z**2 - noise**2 - log_variance)
        values.append(log_ratio.sum(axis=1) - pixels.sum(axis=(1, 2)))
    return np.mean(values)


@pytest.mark.slow
def test_example(tmp_path, capsys):
    returned = example.main([*SMALL, f"--out={tmp_path}"])

    printed = capsys.readouterr().out
    untrained, trained = (
        float(bound) for bound in re.findall(r"-ELBO (\S+) ±", printed)
    )
    assert trained < untrained - 10.0
    assert returned == pytest.approx(trained, abs=0.01)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert all(path.stat().st_size for path in tmp_path.iterdir())

    _, test = example.load_digits()
    model = keras.models.load_model(tmp_path / "model.keras")
    bound = bound_by_definition(model, test.images, samples=50)
    assert bound == pytest.approx(returned, abs=0.2)

    # Right and up: the last column of the first row has the largest codes.
    quantiles, images = example.decoded_quantiles(model.get_layer("decoder"))
    assert quantiles == sorted(quantiles) and len(images) == len(quantiles)
    for row, column, code in (
        (0, -1, [quantiles[-1], quantiles[-1]]),
        (-1, 3, [quantiles[3], quantiles[0]]),
    ):
        expected = example.decode(
            model.get_layer("decoder"), np.array([code], "float32")
        )
        np.testing.assert_allclose(images[row, column], expected[0], atol=1e-5)


@pytest.mark.slow
def test_more_variables_make_no_map(tmp_path):
    arguments = [*SMALL, "--epochs=1", "--latents=5", f"--out={tmp_path}"]
    assert np.isfinite(example.main(arguments))
    written = {path.name for path in tmp_path.iterdir()}
    assert written == FILES - {"latent.png"}
