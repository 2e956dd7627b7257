"""The feature selection finds features that beat chance, and draws them."""

import re

import keras
import numpy as np
import pytest

from tests.examples.loading import load

feature_selection = load("feature_selection")

SMALL = ["--epochs=30", "--subsets=20"]
FILES = {"model.keras", "scores.png", "selection.png"}


@pytest.fixture(scope="module")
def data():
    return feature_selection.load_data()


def rows(text):
    """(accuracy, cross-entropy) by row of the printed table."""
    number = r"([\d.]+)(?: ± [\d.]+)?"
    pattern = rf"^(\w+ \w+) +{number} +{number}$"
    found = re.findall(pattern, text, flags=re.MULTILINE)
    return {name: (float(a), float(c)) for name, a, c in found}


@pytest.mark.slow
def test_kept_features_beat_random_ones(data, tmp_path, capsys):
    names = feature_selection.main([*SMALL, f"--out={tmp_path}"])

    printed = capsys.readouterr().out
    assert 1 <= len(set(names)) == len(names) <= 5
    assert set(names) <= set(data.names)
    assert all(f"  {name}\n" in printed for name in names)
    table = rows(printed)
    kept, chance = table["kept features"], table["random subsets"]
    assert kept[0] > chance[0] and kept[1] < chance[1]
    assert table["all features"][0] > 0.95
    assert {path.name for path in tmp_path.iterdir()} == FILES
    assert all(path.stat().st_size for path in tmp_path.iterdir())

    model = keras.models.load_model(tmp_path / "model.keras")
    selected = model.get_layer("selector").selected
    assert set(data.names[selected]) == set(names)
    right = (model.predict(data.x_test, verbose=0)[:, 0] > 0) == data.y_test
    assert np.mean(right) > 0.85


def test_random_subsets_have_the_size_of_the_kept(data, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        feature_selection,
        "fit_and_score",
        lambda data, features: sizes.append(len(set(features))),
    )
    feature_selection.random_subsets(data, 4, count=7, seed=0)
    assert sizes == [4] * 7


def test_data_is_standardised_by_its_training_part(data):
    assert data.x_train.shape == (399, 30) and data.x_test.shape == (170, 30)
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, atol=1e-5)
    # 212 of the 569 tumours are malignant.
    assert data.y_train.sum() + data.y_test.sum() == 212
