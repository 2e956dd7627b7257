"""LiteRT: what infers without drawing converts, and gives the same values."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgumbel as tg
from docs.scripts.facts import NEEDED
from tests.helpers.cases import LAYERS, is_variant
from tests.layers import serve_elsewhere
from tests.layers.calls import flat_inputs, network

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*tf.lite.Interpreter is deprecated"
)
X = np.random.default_rng(0).normal(size=(6, 8)).astype("float32")
# Functions without an operation of LiteRT's: log Γ and erf⁻¹.
FEW = ("gamma", "kumaraswamy", "truncated_normal")


def sampler(kind, mode):
    """A layer of this distribution."""
    name = f"{kind.name}_{mode}"
    if kind.lacks(tg.distributions.Reparameterized) is None:
        return tg.ImplicitReparam(kind, mode, name=name)
    return tg.ReinforceSampler(kind, None, inference=mode, name=name)


def model_of(distributions):
    """Every value of `inference` that draws nothing, an output for each.

    Except the mean of subsets: it takes complex numbers.
    """
    x = keras.Input((8,))
    outputs = []
    for name in distributions:
        kind = tg.distributions.get(name, **NEEDED.get(name, {}))
        dense = [keras.layers.Dense(4) for _ in kind.parameters]
        parameters = tuple(layer(x) for layer in dense)
        for mode in kind.inference:
            if mode != "sample" and (name, mode) != ("subset", "mean"):
                inputs = parameters if len(dense) > 1 else parameters[0]
                outputs.append(sampler(kind, mode)(inputs))
    return keras.Model(x, outputs)


def exported(model, path):
    if tuple(map(int, keras.__version__.split(".")[:2])) < (3, 13):
        pytest.skip("Keras exports to LiteRT from version 3.13 on")
    model.export(str(path), format="litert", verbose=False)
    return path.read_bytes()


def interpreted(content, inputs):
    """What LiteRT's interpreter makes of it, by built-in operations alone."""
    runner = tf.lite.Interpreter(model_content=content).get_signature_runner()
    names = serve_elsewhere.in_order(runner.get_input_details())
    results = runner(**dict(zip(names, inputs, strict=True)))
    return [results[name] for name in serve_elsewhere.in_order(results)]


def assert_same(content, model, inputs):
    found = interpreted(content, inputs)
    expected = tf.nest.flatten(model(inputs if len(inputs) > 1 else inputs[0]))
    names = model.output_names
    for name, value, other in zip(names, found, expected, strict=True):
        np.testing.assert_allclose(
            value, other, rtol=2e-5, atol=1e-6, err_msg=name
        )


@pytest.mark.full
@pytest.mark.parametrize(
    "distributions",
    [
        pytest.param(FEW, id="few"),
        pytest.param(
            tg.distributions.available(), id="all", marks=pytest.mark.slow
        ),
    ],
)
def test_every_distribution_infers_the_same_after_the_converter(distributions):
    model = model_of(distributions)
    assert len(model.outputs) >= len(distributions)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    assert_same(converter.convert(), model, [X])


@pytest.mark.slow
def test_every_layer_infers_the_same_after_export(tmp_path):
    """As it is made by default; divergences that sample among them."""
    cases = [case for case in LAYERS if not is_variant(case)]
    cases += [case for case in LAYERS if case.id == "KLDivergence-kumaraswamy"]
    models = [network(case) for case in cases]
    model = keras.Model(
        [tensor for one in models for tensor in one.inputs],
        [tensor for one in models for tensor in one.outputs],
    )
    inputs = [tensor for case in cases for tensor in flat_inputs(case)]
    assert_same(exported(model, tmp_path / "model.tflite"), model, inputs)


def gaussian(**kwargs):
    x = keras.Input((8,))
    parameters = [keras.layers.Dense(4)(x), keras.layers.Dense(4)(x)]
    return keras.Model(x, tg.ReparamGaussian(**kwargs)(parameters))


@pytest.mark.full
def test_an_exported_model_that_infers_needs_built_in_operations(tmp_path):
    model = gaussian()
    content = exported(model, tmp_path / "model.tflite")
    assert b"Flex" not in content
    assert_same(content, model, [X])


@pytest.mark.full
def test_one_that_samples_is_exported_with_operations_of_tensorflow(tmp_path):
    """For an interpreter that has them; TensorFlow's own has not."""
    content = exported(gaussian(inference="sample"), tmp_path / "model.tflite")
    assert b"FlexStatelessRandomUniformFullIntV2" in content
    with pytest.raises(RuntimeError, match="Flex delegate"):
        interpreted(content, [X])


@pytest.mark.full
def test_noise_as_an_input_samples_with_built_in_operations(tmp_path):
    x, noise = keras.Input((8,)), keras.Input((4,))
    logits = keras.layers.Dense(4)(x)
    draw = keras.layers.Lambda(lambda pair: tg.ops.gumbel_max(*pair))
    model = keras.Model([x, noise], draw([logits, noise]))
    gumbels = tg.random.gumbel([6, 4], [1, 2]).numpy()
    content = exported(model, tmp_path / "model.tflite")
    assert b"Flex" not in content
    assert_same(content, model, [X, gumbels])
