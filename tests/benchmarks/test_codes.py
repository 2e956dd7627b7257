import numpy as np
import pytest
import tensorflow as tf

from benchmarks import codes
from tests.benchmarks.runs import run


def speed(name, wall_ms, peak_mib):
    return {"name": name, "wall_ms": wall_ms, "peak_mib": peak_mib}


def use(way, start, used, error):
    return {"way": way, "start": start, "used": used, "error": error}


def test_each_target_is_reported():
    found = codes.targets(
        {
            "speed": [
                speed("nearest, trained", 5.0, 80.0),
                speed(codes.PLAIN, 10.0, 100.0),
                {"name": codes.TORCH, "failed": "exit status 1"},
            ],
            "use": [
                use(codes.PLAIN, "around 0", 0.3, 0.02),
                use("nearest, revived", "far away", 0.95, 0.01),
                use("nearest", "far away", 0.1, 0.5),
            ],
        }
    )
    assert [(t["measured"], t["reached"]) for t in found] == [
        (0.5, True),
        (0.8, False),
        (0.05, True),
        (0.5, True),
    ]


def test_the_plain_quantizer_is_the_nearest_code_with_a_copied_gradient():
    random = np.random.default_rng(0)
    x = tf.constant(random.normal(size=(5, 3)))
    book = tf.constant(random.normal(size=(4, 3)))
    x, book = (tf.cast(t, tf.float32) for t in (x, book))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y, loss = codes.plain_quantizer(x, book)
        total = tf.reduce_sum(2.0 * y)
    distances = np.linalg.norm(x[:, None] - book, axis=-1)
    nearest = book.numpy()[distances.argmin(axis=-1)]
    np.testing.assert_allclose(y, nearest, rtol=1e-5, atol=1e-6)
    assert float(loss) == pytest.approx(1.25 * np.mean((x - nearest) ** 2))
    np.testing.assert_array_equal(tape.gradient(total, x), 2 * np.ones((5, 3)))


@pytest.mark.slow
def test_tables_and_json_are_complete(tmp_path, capsys, monkeypatch):
    random = np.random.default_rng(0)
    data = random.random((2, 2000, codes.PATCH)).astype("float32")
    monkeypatch.setattr(codes, "patches", lambda mnist: tuple(data))
    arguments = ["--vectors=64", "--codes=32", "--dim=4", "--calls=1"]
    arguments += ["--processes=1", "--steps=3", "--only", "nearest, trained"]
    arguments += ["--ways", codes.PLAIN, "usage loss, revived"]
    report = run(codes, tmp_path, *arguments)
    assert [row["name"] for row in report["speed"]] == ["nearest, trained"]
    assert report["speed"][0]["wall_ms"] > 0
    assert len(report["use"]) == 4 and len(report["targets"]) == 2
    assert all(0 < row["used"] <= 1 for row in report["use"])
    assert "limit" in capsys.readouterr().out
    again = run(codes, tmp_path, *arguments)  # all is there
    assert again["use"] == report["use"]
