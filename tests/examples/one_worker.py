"""One worker of the tests: trains by the example, writes what it ends with.

The environment variable FAIL_AT is a step before which worker 1 kills itself,
once.
"""

import os
import signal
import sys

import numpy as np
import tensorflow as tf

from tests.examples.loading import load

multi_worker = load("multi_worker")


def failing(batches, step, marker):
    """The iterator, in a process that dies once before the given step."""

    def wrapped(strategy, images, args, start):
        every = batches(strategy, images, args, start)
        for number, batch in enumerate(every, start):
            if number == step and not marker.exists():
                marker.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch

    return wrapped


def codes(model):
    """What each replica of this worker draws at the end."""
    strategy = model.distribute_strategy
    draw = tf.function(
        lambda: model.sampler(tf.zeros([32, 2, 3]), training=True)
    )
    return strategy.experimental_local_results(strategy.run(draw))


def main(argv):
    args = multi_worker.parse(argv)
    index = multi_worker.worker_index()
    if "FAIL_AT" in os.environ and index == 1:
        multi_worker.batches = failing(
            multi_worker.batches,
            int(os.environ["FAIL_AT"]),
            args.out / "failed-once",
        )
    model = multi_worker.train(args)
    weights = {f"weight{i}": w.numpy() for i, w in enumerate(model.weights)}
    np.savez(
        args.out / f"worker{index}.npz", codes=np.stack(codes(model)), **weights
    )


if __name__ == "__main__":
    main(sys.argv[1:])
