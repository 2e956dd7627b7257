"""The categorical VAE trains with each estimator and writes its files."""

import csv
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.examples.loading import load

categorical_vae = load("categorical_vae")

SMALL = ["--epochs=3", "--hidden", "32", "--latents=4", "--verbose=0"]
FILES = {
    "codes.png",
    "history.csv",
    "history.png",
    "model.keras",
    "prior_samples.png",
    "reconstructions.png",
    "saved_model",
}


def bounds(text):
    """The -ELBO before and after training, as printed."""
    return [float(b) for b in re.findall(r"test -ELBO (\S+) ± \S+ nats", text)]


def columns(path):
    with open(path) as file:
        rows = list(csv.DictReader(file))
    return {k: [float(row[k]) for row in rows] for k in rows[0]}


ESTIMATORS = [
    pytest.param(
        name, marks=() if name == "gumbel_softmax" else pytest.mark.exhaustive
    )
    for name in categorical_vae.SAMPLERS
]


@pytest.mark.full
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_example(estimator, tmp_path, capsys):
    arguments = [*SMALL, f"--estimator={estimator}", f"--out={tmp_path}"]

    returned = categorical_vae.main(arguments)

    untrained, trained = bounds(capsys.readouterr().out)
    assert np.isfinite(trained)
    assert trained < untrained - 10.0
    assert returned == pytest.approx(trained, abs=0.01)
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert all(p.stat().st_size for p in tmp_path.rglob("*.*"))
    history = columns(tmp_path / "history.csv")
    assert history["kl_weight"][-1] == 1.0
    annealed = estimator in categorical_vae.ANNEALED
    assert ("temperature" in history) == annealed
    if "temperature" in history:
        assert 1.0 > history["temperature"][0] > history["temperature"][-1]
        assert history["temperature"][-1] == pytest.approx(0.3)

    test = categorical_vae.load_digits()[1].images
    model = keras.models.load_model(tmp_path / "model.keras")
    logs = model.evaluate(test, test, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(trained, abs=0.5)
    server = tf.saved_model.load(tmp_path / "saved_model")
    served = server.serve(tf.constant(test[:5])).numpy()
    assert served.shape == (5, 8, 8)
    assert served.min() >= 0.0 and served.max() <= 1.0
    np.testing.assert_array_equal(server.serve(tf.constant(test[:5])), served)


@pytest.fixture
def mnist_file(tmp_path):
    """Noise in Keras's layout of MNIST, 28x28 bytes."""
    random = np.random.default_rng(0)
    arrays = {}
    for part, number in (("train", 200), ("test", 70)):
        size = (number, 28, 28)
        arrays[f"x_{part}"] = random.integers(256, size=size, dtype="uint8")
        arrays[f"y_{part}"] = random.integers(10, size=number, dtype="uint8")
    np.savez_compressed(tmp_path / "mnist.npz", **arrays)
    return tmp_path / "mnist.npz"


@pytest.mark.slow
def test_mnist_file_and_one_bound_for_one_seed(mnist_file, tmp_path):
    out = tmp_path / "out"
    arguments = [*SMALL, "--epochs=1", f"--mnist={mnist_file}", f"--out={out}"]

    first = categorical_vae.main(arguments)
    again = categorical_vae.main(arguments)

    assert np.isfinite(first)
    assert again == pytest.approx(first, abs=0.001)
    server = tf.saved_model.load(out / "saved_model")
    digits = categorical_vae.load_digits(str(mnist_file))
    train, test = (part.images for part in digits)
    assert train.shape == (200, 28, 28) and test.shape == (70, 28, 28)
    assert train.dtype == np.float32 and train.max() == 1.0
    assert server.serve(tf.constant(test)).shape == (70, 28, 28)


def test_mnist_without_a_file_is_downloaded_by_keras(mnist_file, monkeypatch):
    with np.load(mnist_file) as file:
        data = [(file[f"x_{p}"], file[f"y_{p}"]) for p in ("train", "test")]
    monkeypatch.setattr(keras.datasets.mnist, "load_data", lambda: data)
    args = categorical_vae.parse(["--mnist"])

    train, test = categorical_vae.load_digits(args.mnist)

    assert len(train.images) == 200 and len(test.images) == 70
    assert args.latents == 20  # the preset for MNIST
