"""Short runs of a benchmark; what it returns is what it writes."""

import json

from tests.benchmarks import mnist


def run(benchmark, folder, *arguments):
    out = folder / "results" / "out.json"
    report = benchmark.main([*arguments, "--out", str(out)])
    written = json.loads(out.read_text())
    assert json.loads(json.dumps(report)) == written
    return written


def run_on_images(benchmark, folder, *arguments, train=60, test=20):
    """Of MNIST's shape, with weights beside the JSON; returns the runs."""
    places = ["--mnist", mnist.write(folder, train, test)]
    places += ["--state", str(folder / "state")]
    return run(benchmark, folder, *arguments, *places)["runs"]
