"""The bound of two layers is that of enumeration, and is descended."""

import itertools

import keras
import numpy as np
import pytest

from tests.examples.loading import load

belief_network = load("belief_network")
pytestmark = pytest.mark.usefixtures("without_xla")

IMAGES = np.random.default_rng(0).integers(0, 2, (3, 64)).astype("float32")


@pytest.fixture
def network():
    keras.utils.set_random_seed(0)
    args = belief_network.parse(["--variables", "2", "3"])
    network = belief_network.make_network(args)
    random = np.random.default_rng(1)
    for layer in network:
        shapes = [weight.shape for weight in layer.weights]
        layer.set_weights([random.normal(size=shape) for shape in shapes])
    return network


def log_p(values, logits):
    return np.sum(values * logits - np.logaddexp(0.0, logits), axis=-1)


def enumerated(network):
    """E_q[log q(h1, h2|x) - log p(x, h1, h2)] of each image."""
    total = 0.0
    for h1 in itertools.product([0.0, 1.0], repeat=2):
        h1 = np.tile(h1, (len(IMAGES), 1))
        for h2 in itertools.product([0.0, 1.0], repeat=3):
            h2 = np.tile(h2, (len(IMAGES), 1))
            log_q = log_p(h1, network.q_lower(IMAGES))
            log_q += log_p(h2, network.q_upper(h1))
            joint = log_p(IMAGES, network.p_pixels(h1))
            joint += log_p(h1, network.p_lower(h2)) + log_p(h2, np.zeros(3))
            total += np.exp(log_q) * (log_q - joint)
    return total


@pytest.mark.full
@pytest.mark.parametrize("name", belief_network.SAMPLERS)
def test_the_bound_is_that_of_enumeration(name, network):
    exact = np.mean(enumerated(network))
    model = belief_network.make_bound(network, name)
    images = np.tile(IMAGES, (2000, 1))
    parts = keras.tree.flatten(model.predict(images, 6000, verbose=0))
    bounds = np.sum(parts, axis=0)
    error = np.std(bounds) / np.sqrt(len(bounds))
    assert abs(np.mean(bounds) - exact) < 5 * error
    assert 5 * error < 0.03 * exact


@pytest.mark.exhaustive
def test_local_signals_lower_the_variance_of_h2(tmp_path, capsys):
    scores = belief_network.main(
        [
            f"--out={tmp_path}",
            "--epochs=3",
            "--variables",
            "20",
            "10",
            "--estimators",
            "nvil",
            "nvil_local",
        ]
    )
    assert scores["nvil_local"].upper < scores["nvil"].upper / 1.5
    # Pixels that are on as often as over all digits have 31 nats.
    assert all(score.bound < 31 for score in scores.values())
    printed = capsys.readouterr().out
    assert all(f"{score.bound:.2f}" in printed for score in scores.values())
    assert (tmp_path / "belief.png").stat().st_size > 10_000
