import numpy as np
import pytest
import tensorflow as tf

from benchmarks import _samplers, layers
from tests.benchmarks import runs

RATIOS = {
    f"{prefix}{yardstick}"
    for prefix in ["to_", "cpu_to_", "peak_to_"]
    for yardstick in ["softmax", "tfp", "torch", "graph"]
}


def run(tmp_path, capsys, *arguments):
    fixed = ["--repeats", "1", "--no-memory"]
    report = runs.run(layers, tmp_path, *fixed, *arguments)
    return report, capsys.readouterr().out


def check_row(row):
    assert row["median_ms"] > 0 and row["min_ms"] > 0
    assert row["cpu_ms"] >= 0
    assert row["repeats"] == 1
    assert row.keys() >= RATIOS
    if row["mode"] != "eager":
        assert row["to_softmax"] > 0 and row["to_graph"] > 0


@pytest.mark.slow
def test_table_and_json_are_complete(tmp_path, capsys):
    names = [_samplers.SOFTMAX, "GumbelSoftmax", "ReinforceSampler"]
    report, printed = run(
        tmp_path, capsys, "--shapes", "8x4", "2x1000", "--only", *names
    )
    rows = report["results"]
    assert {(*r["shape"], r["name"], r["mode"]) for r in rows} == {
        (*shape, name, mode)
        for shape in [(8, 4), (2, 1000)]
        for name in names
        for mode in ["graph", "xla"]
    }
    for row in rows:
        check_row(row)
    for text in [*names, "(8, 4)", "(2, 1000)", "to_softmax", "to_torch"]:
        assert text in printed
    environment = report["environment"]
    assert {"date", "cpu", "threads", "load_average"} <= environment.keys()
    assert environment["versions"].keys() == set(layers.PACKAGES)


def test_each_target_is_reported():
    figures = {"to_softmax": 2.4, "to_tfp": 0.7, "to_graph": 1.5}
    figures |= {f"cpu_{key}": value for key, value in figures.items()}
    figures["peak_to_tfp"] = 1.1
    rows = [
        {"name": "GumbelSoftmax", "shape": shape, "mode": mode, **figures}
        for shape in [[8, 10], [8, 1000]]
        for mode in ["graph", "xla"]
    ]
    found = layers.targets(rows)
    assert [(t["shape"][1], t["limit"], t["reached"]) for t in found] == [
        (10, 1.5, True),
        (1000, 1.5, True),
        (1000, 1.0, False),
        (10, 1.0, True),
        (1000, 1.0, True),
        (1000, 2.5, True),
        (1000, 1.0, False),
        (10, 0.1, False),
        (1000, 0.1, False),
    ]


def test_each_relative_is_set_beside_what_tfp_has_in_its_place():
    bits = "BinaryConcrete"
    rival = _samplers.RIVALS[bits]
    times = {bits: 0.8, rival: 1.0, _samplers.TFP: 0.5}
    rows = {
        (name, "xla"): {"median_ms": ms, "cpu_ms": ms, "peak_mib": None}
        for name, ms in times.items()
    }
    row = {"name": bits, "shape": [8, 10], "mode": "xla"}
    row |= layers.ratios(rows, (bits, "xla"))
    assert row["to_tfp"] == 0.8
    (target,) = layers.targets([row])
    assert (target["limit"], target["reached"]) == (0.1, False)


@pytest.mark.parametrize(
    "name", [_samplers.TFP_HARD, _samplers.TFP_BINARY_HARD]
)
def test_what_is_made_hard_is_hard_and_has_a_gradient(name):
    pytest.importorskip("tensorflow_probability")
    logits, weights = _samplers.arrays((40, 3))
    draw = _samplers.make_draw(name, False)
    y = draw(tf.constant(logits), tf.constant([1, 2]))
    np.testing.assert_allclose(y, np.round(y), atol=1e-6)
    _, gradient = _samplers.step(draw, logits, weights, False)()
    assert np.all(np.abs(gradient).sum(axis=1) > 0)


def test_a_log_probability_is_weighted_example_by_example():
    logits = np.arange(24, dtype="float32").reshape(4, 2, 3)
    weights = logits[::-1] + 1.0

    def draw(logits, seed):
        return logits, tf.reduce_sum(logits, axis=[1, 2])

    loss, gradient = _samplers.step(draw, logits, weights, False)()
    first = weights[:, :1, :1]
    np.testing.assert_allclose(loss, np.sum((weights + first) * logits))
    np.testing.assert_allclose(gradient, weights + first)


def test_a_shape_that_is_none_is_refused(capsys):
    with pytest.raises(SystemExit):
        layers.main(["--shapes", "4096"])
    assert "ROWSxCATEGORIES" in capsys.readouterr().err


@pytest.mark.exhaustive  # Allocators differ.
def test_peak_of_a_softmax_is_its_tensors():
    """y and its gradient, and at the most eight more: each of 8 MiB."""
    found = layers.peak((2048, 1024), _samplers.SOFTMAX, "graph")["peak_mib"]
    assert 16 <= found < 80


@pytest.mark.slow
def test_every_installed_contender_runs(tmp_path, capsys):
    report, printed = run(tmp_path, capsys, "--shapes", "8x4")
    names = {row["name"] for row in report["results"]}
    assert names == set(layers.available()) >= set(_samplers.LAYERS)
    for row in report["results"]:
        check_row(row)
    assert printed.count("reached") + printed.count("NOT REACHED") >= 2
