"""What "Saving and serving" says of threads, and of a missing import."""

import concurrent.futures
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

import tfgumbel as tg

CALLS = 400


def sampling_model():
    x = keras.Input((4,))
    return keras.Model(
        x, tg.ReparamGaussian(inference="sample", seed=1)((x, x))
    )


@pytest.mark.full
def test_threads_draw_from_the_one_sequence_of_noises(tmp_path):
    """Each answer is one of those in turn; some may come twice."""
    sampling_model().export(str(tmp_path / "model"), verbose=False)

    def answers(workers):
        loaded = tf.saved_model.load(str(tmp_path / "model"))
        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            calls = [tf.zeros([1, 4])] * CALLS
            return [tuple(a.numpy()[0]) for a in pool.map(loaded.serve, calls)]

    alone, together = answers(1), answers(4)
    assert len(set(alone)) == CALLS
    assert set(together) <= set(alone)
    assert len(set(together)) > CALLS // 2


LOAD = """
import sys
import keras
try:
    keras.models.load_model(sys.argv[1])
except TypeError as error:
    print(error)
import tfgumbel
model = keras.models.load_model(sys.argv[1])
print("loaded", model(keras.ops.zeros((1, 4))).shape)
"""


@pytest.mark.slow
def test_a_model_is_loaded_after_the_import_of_tfgumbel(tmp_path):
    x = keras.Input((4,))
    model = tg.StochasticModel(x, tg.ReinforceSampler()(x))
    model.save(tmp_path / "model.keras")
    found = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path / "model.keras")],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    ).stdout
    assert "Could not locate class" in found
    assert "loaded (1, 4)" in found
