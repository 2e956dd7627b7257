"""One SavedModel with two signatures, and the same model as LiteRT."""

import concurrent.futures
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.statistics import assert_frequencies, softmax

CLI = pathlib.Path(sys.executable).with_name("saved_model_cli")
LOGITS = np.array([1.0, 0.0, -1.0], "float32")


def model_of_one_code():
    """The code's logits are LOGITS whatever the input."""
    x = keras.Input((4,), name="x")
    logits = keras.layers.Dense(
        3, "linear", True, "zeros", keras.initializers.Constant(LOGITS)
    )(x)
    return keras.Model(x, tg.GumbelSoftmax(0.5)(logits))


def export(model, path):
    """As in README."""

    def sample(x, seed):
        with tg.SamplingScope(seed):
            return model(x)

    archive = keras.export.ExportArchive()
    archive.track(model)
    x = tf.TensorSpec([None, 4], name="x")
    seed = tf.TensorSpec([], tf.int64, name="seed")
    archive.add_endpoint("serve", model, [x])
    archive.add_endpoint("sample", sample, [x, seed])
    archive.write_out(path, verbose=False)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("signatures") / "model"
    export(model_of_one_code(), path)
    return path


def zeros(size):
    return tf.zeros([size, 4])


def test_serve_is_deterministic_and_sample_follows_seed_and_law(saved):
    loaded = tf.saved_model.load(saved)
    assert set(loaded.signatures) >= {"serve", "sample"}
    sample = loaded.signatures["sample"]
    for size in (1, 7, 10_000):
        np.testing.assert_array_equal(
            loaded.serve(zeros(size)), np.tile(np.eye(3)[0], (size, 1))
        )
        (one,) = sample(x=zeros(size), seed=tf.constant(5, "int64")).values()
        np.testing.assert_array_equal(one, loaded.sample(zeros(size), 5))
        np.testing.assert_array_equal(np.sum(one == 1, axis=-1), 1)
    assert_frequencies(np.argmax(one, axis=-1), softmax(LOGITS))
    assert np.any(loaded.sample(zeros(7), 6) != loaded.sample(zeros(7), 5))


def test_threads_get_the_samples_of_their_seeds(saved):
    loaded = tf.saved_model.load(saved)

    def answers(seed):
        batch = zeros(1 + seed)
        return np.concatenate([loaded.serve(batch), loaded.sample(batch, seed)])

    alone = [answers(seed) for seed in range(64)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = list(pool.map(answers, range(64)))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)


def run_cli(*arguments):
    result = subprocess.run(
        [CLI, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.exhaustive
def test_saved_model_cli_shows_and_runs_both_signatures(saved, tmp_path):
    """TensorFlow's own program, which has never heard of tfgumbel."""
    shown = run_cli("show", "--dir", saved, "--tag_set", "serve", "--all")
    assert "signature_def['sample']" in shown
    assert "signature_def['serve']" in shown
    x, seed = tmp_path / "x.npy", tmp_path / "seed.npy"
    np.save(x, np.zeros((9, 4), "float32"))
    np.save(seed, np.int64(5))
    run_cli(
        *("run", "--dir", saved, "--tag_set", "serve"),
        *("--signature_def", "sample", "--outdir", tmp_path / "out"),
        *("--inputs", f"x={x};seed={seed}"),
    )
    (output,) = (tmp_path / "out").glob("*.npy")
    loaded = tf.saved_model.load(saved)
    expected = loaded.sample(zeros(9), 5)
    np.testing.assert_array_equal(np.load(output), expected)
