"""SavedModels serve, and can be trained, where tfgumbel is not installed.

One model holds the layer of every row, for speed: a fresh process takes
seconds to import TensorFlow, and every SavedModel another to load.
"""

import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.cases import LAYERS
from tests.layers import serve_elsewhere
from tests.layers.calls import network, training_values
from tests.ops.derivatives import weighted_sum

# Inputs of two sizes, of every row.
FLAT = [array for case in LAYERS for array in tf.nest.flatten(case.inputs)]
BATCHES = [FLAT, [array[:2] for array in FLAT]]


def every_layer(inference=None):
    """A model with the inputs and outputs of every row."""
    models = []
    for case in LAYERS:
        kwargs = {"inference": inference} if inference and case.law else {}
        models.append(network(case, **kwargs))
    return keras.Model(
        [tensor for model in models for tensor in model.inputs],
        [tensor for model in models for tensor in model.outputs],
    )


def rows_of_outputs():
    """The row that each output belongs to."""
    return [case.id for case in LAYERS for _ in network(case).outputs]


def training_total(model):
    """A function of a batch: the weighted sum of all that training yields."""

    def train(inputs):
        values = training_values(model, [inputs])
        return tf.add_n([weighted_sum(value) for value in values])

    return train


def export_for_training(model, path):
    archive = keras.export.ExportArchive()
    archive.track(model)
    signature = [tf.TensorSpec(t.shape, t.dtype) for t in model.inputs]
    archive.add_endpoint("train", training_total(model), [signature])
    archive.write_out(path, verbose=False)


def gradients_here(model):
    variables = [variable.value for variable in model.trainable_variables]
    return [
        serve_elsewhere.gradients(
            training_total(model), serve_elsewhere.tensors(batch), variables
        )
        for batch in BATCHES
    ]


def outputs_here(model):
    return [model(serve_elsewhere.tensors(batch)) for batch in BATCHES]


def load_all_elsewhere(folder):
    (folder / "batches.pickle").write_bytes(pickle.dumps(BATCHES))
    subprocess.run(
        [sys.executable, "-I", serve_elsewhere.__file__, str(folder)],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        timeout=300,
    )
    return pickle.loads((folder / "results.pickle").read_bytes())


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """For each way to save: what it must give, and what it gave elsewhere.

    Samples and the noise of training depend on the saved seed state.
    """
    folder = tmp_path_factory.mktemp("saved")
    default, sampling = every_layer(), every_layer("sample")
    default.export(str(folder / "export"), verbose=False)
    tf.saved_model.save(sampling, str(folder / "saved_model"))
    export_for_training(default, str(folder / "train"))
    expected = {
        "export": outputs_here(default),
        "saved_model": outputs_here(sampling),
        "train": gradients_here(default),
    }
    elsewhere = load_all_elsewhere(folder)
    return {way: (elsewhere[way], expected[way]) for way in expected}


def assert_batches_equal(results, names):
    for actual, expected in zip(*results, strict=True):
        for name, a, e in zip(names, actual, expected, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5, err_msg=name)


# One test for the three, so that workers do not repeat the fixture.
def test_saved_models_serve_and_train_where_tfgumbel_is_absent(results):
    """Batches of any size, equal values and gradients, the same noise."""
    rows = rows_of_outputs()
    assert_batches_equal(results["export"], rows)
    assert_batches_equal(results["saved_model"], rows)
    assert_batches_equal(results["train"], names_of_gradients())


def names_of_gradients():
    floating = [
        case.id
        for case in LAYERS
        for array in tf.nest.flatten(case.inputs)
        if array.dtype == np.float32
    ]
    weights = [weight.path for weight in every_layer().trainable_variables]
    return ["total", *floating, *weights]
