"""SavedModels serve, and can be trained, where tfgumbel is not installed.

One model holds the layers of many rows, for speed: a fresh process takes
seconds to import TensorFlow, and every SavedModel another to load. By default
they are the first row of each class of layers, in the slow tests all.
"""

import os
import pickle
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from tests.helpers.cases import LAYERS, is_variant
from tests.layers import serve_elsewhere
from tests.layers.calls import network, training_values
from tests.ops.derivatives import weighted_sum


def batches_of(cases):
    """Inputs of two sizes, of every row."""
    flat = [array for case in cases for array in tf.nest.flatten(case.inputs)]
    return [flat, [array[:2] for array in flat]]


def model_of(cases, inference=None):
    """A model with the inputs and outputs of every row."""
    models = []
    for case in cases:
        kwargs = {"inference": inference} if inference and case.law else {}
        models.append(network(case, **kwargs))
    return keras.Model(
        [tensor for model in models for tensor in model.inputs],
        [tensor for model in models for tensor in model.outputs],
    )


def training_total(model):
    """A function of a batch: the weighted sum of all that training yields."""

    def train(inputs):
        values = training_values(model, [inputs])
        return tf.add_n([weighted_sum(value) for value in values])

    return train


def export(model, folder, name, function, *more):
    """Writes an endpoint that takes a batch, and more, in a folder `name`."""
    archive = keras.export.ExportArchive()
    archive.track(model)
    batch = [tf.TensorSpec(t.shape, t.dtype) for t in model.inputs]
    archive.add_endpoint(name, function, [batch, *more])
    archive.write_out(str(folder / name), verbose=False)


def seeded(model):
    """A function of a batch and a seed: exact samples."""

    def sample(inputs, seed):
        with tg.SamplingScope(seed):
            return model(inputs)

    return sample


def samples_here(model, batches):
    return [
        seeded(model)(serve_elsewhere.tensors(batch), len(batch[0]))
        for batch in batches
    ]


def gradients_here(model, batches):
    variables = [variable.value for variable in model.trainable_variables]
    return [
        serve_elsewhere.gradients(
            training_total(model), serve_elsewhere.tensors(batch), variables
        )
        for batch in batches
    ]


def outputs_here(model, batches):
    return [model(serve_elsewhere.tensors(batch)) for batch in batches]


def load_all_elsewhere(folder, batches):
    (folder / "batches.pickle").write_bytes(pickle.dumps(batches))
    subprocess.run(
        [sys.executable, "-I", serve_elsewhere.__file__, str(folder)],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=True,
        timeout=300,
    )
    return pickle.loads((folder / "results.pickle").read_bytes())


def assert_batches_equal(actual, expected, names):
    for a_batch, e_batch in zip(actual, expected, strict=True):
        for a, e, name in zip(a_batch, e_batch, names, strict=True):
            np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.full
@pytest.mark.parametrize(
    "cases",
    [
        pytest.param(
            [case for case in LAYERS if not is_variant(case)],
            id="first-of-class",
        ),
        pytest.param(LAYERS, id="all", marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.filterwarnings("ignore:.*draw the same noise")  # one seed for all
def test_saved_models_serve_and_train_where_tfgumbel_is_absent(cases, tmp_path):
    """Batches of any size, equal values and gradients, the same noise.

    Samples and the noise of training depend on the saved seed state.
    """
    batches = batches_of(cases)
    default, sampling = model_of(cases), model_of(cases, "sample")
    default.export(str(tmp_path / "export"), verbose=False)
    tf.saved_model.save(sampling, str(tmp_path / "saved_model"))
    export(default, tmp_path, "train", training_total(default))
    seed = tf.TensorSpec([], tf.int32)
    export(default, tmp_path, "sample", seeded(default), seed)
    elsewhere = load_all_elsewhere(tmp_path, batches)
    names = default.output_names
    # First of all: a Monte Carlo divergence draws at inference, too.
    assert_batches_equal(
        elsewhere["train"],
        gradients_here(default, batches),
        names_of_gradients(default),
    )
    assert_batches_equal(
        elsewhere["export"], outputs_here(default, batches), names
    )
    assert_batches_equal(
        elsewhere["sample"], samples_here(default, batches), names
    )
    assert_batches_equal(
        elsewhere["saved_model"], outputs_here(sampling, batches), names
    )


def names_of_gradients(model):
    floating = [t.name for t in model.inputs if "float" in t.dtype]
    return ["total", *floating, *(w.path for w in model.trainable_variables)]


def converts(case):
    """The matching of a matrix takes loops that LiteRT does not have."""
    return "sinkhorn" not in case.id


@pytest.mark.exhaustive
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_lite_models_infer_the_same():
    """With built-in ops alone; what draws at inference is left out."""
    cases = [c for c in LAYERS if not c.draws_always and converts(c)]
    model = model_of(cases)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    lite = tf.lite.Interpreter(model_content=converter.convert())
    runner = lite.get_signature_runner()
    names = serve_elsewhere.in_order(runner.get_input_details())
    (batch, _) = batches_of(cases)
    results = runner(**dict(zip(names, batch, strict=True)))
    found = [results[n] for n in serve_elsewhere.in_order(results)]
    assert_batches_equal(
        [found], outputs_here(model, [batch]), model.output_names
    )
