import math

import pytest

from benchmarks import straight_through_vae
from tests.benchmarks.runs import run_on_images


def run(folder, *arguments):
    few = ["--seeds", "0", "--steps", "4", "--every", "2", "--no-xla"]
    few += ["--hidden", "8", "6", *arguments]
    return run_on_images(straight_through_vae, folder, *few, train=1000)


@pytest.mark.slow
def test_a_run_reports_the_bound_of_all_images(tmp_path):
    found = run(tmp_path, "--estimators", "reinmax")
    entry = found["8x4/reinmax/seed 0"]
    assert entry["arguments"] == {"temperature": 1.3}
    assert entry["learning_rate"] == 5e-4
    assert entry["curve"]["step"] == [2, 4]
    for part in ("train", "test"):
        assert entry["results"][part] == pytest.approx(784 * math.log(2), 0.1)
    assert "--mnist" not in entry["command"]


@pytest.mark.exhaustive
def test_every_estimator_of_both_papers(tmp_path):
    for setup in straight_through_vae.SETUPS.values():
        assert setup.estimators.keys() == straight_through_vae.LIU.keys()
    found = run(tmp_path, "--setup", "32x16")
    assert len(found) == len(straight_through_vae.HOOPER)
    assert all("/4 steps" in key for key in found)


def test_learning_rate_of_hooper_rises_and_falls():
    setup = straight_through_vae.SETUPS["32x16"]
    optimizer = straight_through_vae.optimizer(setup, 1e-3, 1000)
    schedule = optimizer._learning_rate
    rates = [float(schedule(step)) for step in (0, 20, 510, 1000)]
    assert rates == pytest.approx([1e-6, 1e-3, 5e-4, 0.0], abs=2e-6)
