"""A saved file is data: it names what may stand there, or it is refused."""

import ast
import copy
import json
import pathlib
import zipfile

import keras
import numpy as np
import pytest

import tfgumbel as tg
from tfgumbel import _saving

PACKAGE = pathlib.Path(tg.__file__).parent
X = np.zeros((2, 4), "float32")

# None of these may be imported or called.
UNSAFE_MODULES = {"pickle", "marshal", "shelve", "dill", "joblib"}
UNSAFE_NAMES = {
    "compile",
    "enable_unsafe_deserialization",
    "eval",
    "exec",
    "func_load",
    "__import__",
    "import_module",
}


def unsafe(source):
    """The names in `source` that run what a file says."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules = [alias.name.split(".")[0] for alias in node.names]
            found |= UNSAFE_MODULES & set(modules)
        elif isinstance(node, ast.ImportFrom):
            found |= UNSAFE_MODULES & {(node.module or "").split(".")[0]}
            found |= UNSAFE_NAMES & {alias.name for alias in node.names}
        elif isinstance(node, ast.Attribute):
            found |= UNSAFE_NAMES & {node.attr} - {"compile"}
        elif isinstance(node, ast.Name):
            found |= UNSAFE_NAMES & {node.id}
        elif isinstance(node, ast.keyword):
            found |= {"safe_mode", "allow_pickle"} & {node.arg}
    return found


@pytest.mark.parametrize(
    ("source", "safe"),
    [
        ("import pickle", False),
        ("from marshal import loads", False),
        ("from importlib import import_module", False),
        ("def f():\n  return eval('1')", False),
        ("keras.config.enable_unsafe_deserialization()", False),
        ("keras.models.load_model(path, safe_mode=False)", False),
        ("np.load(path, allow_pickle=True)", False),
        ("model.compile('adam')", True),
    ],
)
def test_unsafe_names_are_recognised(source, safe):
    assert (not unsafe(source)) == safe


@pytest.mark.full
def test_nothing_in_the_package_unpickles_or_evaluates():
    found = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if (names := unsafe(path.read_text(encoding="utf-8")))
    }
    # The command `check` imports the module that its user names, as `python
    # -m` does; no file can name one.
    assert found == {"_commands/check.py": {"import_module"}}


def a_class(name, module, **config):
    return {
        "class_name": name,
        "config": config,
        "module": module,
        "registered_name": None,
    }


def a_function(name, module):
    return {**a_class("function", module), "config": name}


ATTACKS = {
    "another module": a_class("Popen", "subprocess", args=["true"]),
    "a function of another module": a_function("system", "os"),
    "a function of Keras that fetches files": a_function(
        "load_data", "keras.datasets.mnist"
    ),
    "the same as a class": a_class("load_data", "keras.datasets.mnist"),
    "a function that sets a seed": a_function("set_random_seed", "keras.utils"),
    "a module of Keras": a_class("Popen", "keras.src.utils.io_utils"),
    "an optimizer": a_class("SGD", "keras.optimizers"),
    "code": {
        "class_name": "__lambda__",
        "config": {"value": ["4wAAAA==", None, None]},
    },
}
# Where one of them may be planted: a layer, and the path to the place.
PLACES = {
    "temperature": (lambda: tg.GumbelSoftmax(), ["temperature"]),
    "backward_temperature": (
        lambda: tg.BinaryConcrete(),
        ["backward_temperature"],
    ),
    "weight": (lambda: tg.CategoricalKL(), ["weight"]),
    "initializer": (lambda: tg.ConcreteSelector(2), ["initializer"]),
    "initializer of gates": (lambda: tg.StochasticGate(), ["initializer"]),
    "embeddings_initializer": (
        lambda: tg.StraightThroughEmbedding(4, 2),
        ["embeddings_initializer"],
    ),
    "embeddings_regularizer": (
        lambda: tg.StraightThroughEmbedding(4, 2),
        ["embeddings_regularizer"],
    ),
    "baseline": (lambda: tg.ReinforceSampler(), ["baseline"]),
    "baseline of a cost": (lambda: tg.ScoreFunctionCost("nvil"), ["baseline"]),
    "network of a baseline": (
        lambda: tg.ReinforceSampler(),
        ["baseline", "config", "network"],
    ),
    "cost": (lambda: tg.ExpectedCost(keras.layers.Flatten()), ["cost"]),
    "estimator": (
        lambda: tg.ExpectedCost(keras.layers.Flatten()),
        ["estimator"],
    ),
    "network of an estimator": (
        lambda: tg.ExpectedCost(keras.layers.Flatten(), "relax"),
        ["estimator", "config", "network"],
    ),
    "baseline of an estimator": (
        lambda: tg.ExpectedCost(
            keras.layers.Flatten(),
            tg.estimators.Reinforce(baseline=keras.layers.Dense(1)),
        ),
        ["estimator", "config", "baseline"],
    ),
    "distribution": (lambda: tg.ImplicitReparam("gamma"), ["distribution"]),
    "inference": (lambda: tg.GumbelSoftmax(), ["inference"]),
    "seed": (lambda: tg.GumbelSoftmax(), ["seed"]),
}


def planted(make, path, attack):
    """The config of a layer with something else in one place."""
    config = keras.saving.serialize_keras_object(make())
    place = config["config"]
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place
    place[path[-1]] = copy.deepcopy(attack)
    return config


@pytest.fixture
def nothing_runs(monkeypatch):
    """Fails the test if what an attack names is called."""

    def forbidden(*args, **kwargs):
        raise SystemExit("an attack ran")

    for name in ("os.system", "subprocess.Popen", "marshal.loads"):
        monkeypatch.setattr(name, forbidden)
    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", forbidden)
    monkeypatch.setattr("random.seed", forbidden)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_a_crafted_config_is_refused(place, attack, nothing_runs):
    config = planted(*place, attack)
    with pytest.raises((ValueError, TypeError)):
        keras.saving.deserialize_keras_object(config, safe_mode=True)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_crafted_schedule_of_a_callback_is_refused(attack, nothing_runs):
    with pytest.raises((ValueError, TypeError)):
        tg.TemperatureScheduler(attack)


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A saved model, which loads: what Keras runs for that has run."""
    path = tmp_path_factory.mktemp("honest") / "model.keras"
    model = keras.Sequential([keras.Input((4,)), tg.GumbelSoftmax()])
    model.save(path)
    keras.models.load_model(path)
    return path


def craft(honest, path, attack):
    """Puts `attack` in place of the temperature in a saved model."""
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "config.json":
                config = json.loads(data)
                layer = config["config"]["layers"][-1]["config"]
                layer["temperature"] = attack
                data = json.dumps(config).encode()
            new.writestr(name, data)


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_a_crafted_file_is_refused(honest, attack, tmp_path, nothing_runs):
    path = tmp_path / "crafted.keras"
    craft(honest, path, attack)
    with pytest.raises((ValueError, TypeError)):
        keras.models.load_model(path)


def test_the_error_names_argument_and_object():
    attack = ATTACKS["a function of Keras that fetches files"]
    with pytest.raises(
        ValueError,
        match="`schedule` must, .* a `LearningRateSchedule` or a registered "
        r"object. Received: keras.src.datasets.mnist.load_data",
    ):
        tg.schedules.get(attack)


def test_packages_whose_names_begin_as_that_of_keras_are_others():
    made = type("Made", (), {"__module__": "keras_hub.losses"})()
    assert _saving.admitted("cost", made, ()) is made


@keras.saving.register_keras_serializable(package="tests")
def registered_cost(z, x):
    return keras.ops.sum(keras.ops.square(z - x), axis=-1)


def unknown_cost(z, x):
    return keras.ops.sum(keras.ops.square(z - x), axis=-1)


def model_with(cost):
    x = keras.Input((4,))
    expected = tg.ExpectedCost(cost, distribution="bernoulli")
    return keras.Model(x, expected(keras.layers.Dense(4)(x), x))


@pytest.mark.parametrize(
    "cost",
    [
        registered_cost,
        keras.losses.binary_crossentropy,
        keras.losses.MeanSquaredError(reduction=None),
    ],
)
def test_registered_and_keras_costs_come_back(cost, tmp_path):
    model_with(cost).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    assert model(X).shape == (2,)


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        (unknown_cost, "Could not locate function 'unknown_cost'"),
        (lambda z, x: unknown_cost(z, x), "deserialization of a Python lambda"),
    ],
)
@pytest.mark.filterwarnings("ignore:The object being serialized includes a")
def test_other_functions_are_refused_clearly(cost, message, tmp_path):
    model_with(cost).save(tmp_path / "model.keras")
    with pytest.raises((ValueError, TypeError), match=message):
        keras.models.load_model(tmp_path / "model.keras")
