"""Training on several workers: alone, as two processes, one of them killed."""

import itertools
import pathlib
import re
import sys

import numpy as np
import pytest

from tests.examples.loading import load

multi_worker = load("multi_worker")

ROOT = pathlib.Path(__file__).parents[2]
STEPS, SAVE_EVERY, FAIL_AT = 10, 4, 7
JOB = [
    *("--latents=2", "--classes=3", "--samples=1", "--batch-size=8"),
    *("--epochs=2", f"--steps={STEPS // 2}", f"--save-every={SAVE_EVERY}"),
]


def train(out):
    return multi_worker.train(multi_worker.parse([*JOB, f"--out={out}"]))


def bounds(text):
    return [float(b) for b in re.findall(r"-ELBO (\S+) nats", text)]


def starts(text):
    return [int(step) for step in re.findall(r"from step (\d+)", text)]


@pytest.mark.full
def test_alone(tmp_path, capsys):
    train(tmp_path)
    first, second, test = bounds(capsys.readouterr().out)
    assert second < first and np.isfinite(test)


@pytest.mark.exhaustive
def test_alone_interrupted_and_resumed(tmp_path, capsys, monkeypatch):
    """In the middle of an epoch; its mean is that of all its steps."""
    whole = train(tmp_path / "whole")
    first, second, test = bounds(capsys.readouterr().out)
    real = multi_worker.batches
    with monkeypatch.context() as patch, pytest.raises(StopIteration):
        patch.setattr(
            multi_worker,
            "batches",
            lambda *args: itertools.islice(real(*args), FAIL_AT),
        )
        train(tmp_path / "part")
    resumed = train(tmp_path / "part")
    printed = capsys.readouterr().out
    assert starts(printed) == [0, SAVE_EVERY]
    assert bounds(printed) == [first, first, second, test]
    for one, other in zip(whole.weights, resumed.weights, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy(), one.path)


@pytest.fixture(scope="module")
def killed_job(tmp_path_factory):
    """Two processes, one of them killed, both started again.

    What the job printed, and what each worker wrote when it had ended.
    """
    out = tmp_path_factory.mktemp("workers")
    command = [sys.executable, "-m", "tests.examples.one_worker"]
    with pytest.MonkeyPatch.context() as patch, open(out / "log", "w") as log:
        patch.chdir(ROOT)
        patch.setenv("FAIL_AT", str(FAIL_AT))
        multi_worker.launch(
            [*command, *JOB, f"--out={out}"], 2, restarts=1, stdout=log
        )
    assert (out / "failed-once").exists()
    workers = [dict(np.load(out / f"worker{index}.npz")) for index in (0, 1)]
    return (out / "log").read_text(), workers


def weights(worker):
    return [value for name, value in worker.items() if name != "codes"]


@pytest.mark.slow
def test_workers_agree_and_draw_noise_of_their_own(killed_job):
    _, (chief, other) = killed_job
    for one, another in zip(weights(chief), weights(other), strict=True):
        np.testing.assert_array_equal(one, another)
    assert not np.array_equal(chief["codes"], other["codes"])


@pytest.mark.slow
def test_a_killed_job_ends_where_it_would_have(
    killed_job, strategy, tmp_path, monkeypatch
):
    """As two replicas of one process, which nobody interrupts."""
    printed, (chief, _) = killed_job
    assert starts(printed) == [0, SAVE_EVERY]
    monkeypatch.setattr(multi_worker, "make_strategy", lambda: strategy)
    whole = train(tmp_path)
    for value, expected in zip(weights(chief), whole.weights, strict=True):
        np.testing.assert_allclose(
            value, expected.numpy(), rtol=1e-5, atol=1e-6, err_msg=expected.path
        )


def test_more_failures_than_restarts(tmp_path):
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(SystemExit, match="failed 2 times"):
        multi_worker.launch(failing, workers=2, restarts=1)


def test_batch_that_cannot_be_divided(strategy, tmp_path):
    args = multi_worker.parse(["--batch-size=7"])
    with pytest.raises(SystemExit, match="multiple of 2 replicas"):
        multi_worker.batches(strategy, np.zeros((9, 8, 8), "f"), args, 0)


def test_replicas_share_the_batches_of_one_device(strategy):
    """From the third step on, on two replicas."""
    images = np.arange(20.0, dtype="float32").reshape(20, 1, 1)
    args = multi_worker.parse(["--batch-size=6"])
    alone = multi_worker.batches(multi_worker.make_strategy(), images, args, 0)
    third = list(itertools.islice(alone, 3))[2]
    both = next(multi_worker.batches(strategy, images, args, 2))
    parts = strategy.experimental_local_results(both)
    np.testing.assert_array_equal(np.concatenate(parts), third)
