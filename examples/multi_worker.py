"""The categorical VAE on several machines, stopped and resumed at will.

Training that goes on from its last checkpoint, on one worker or several, when
a machine dies. It takes the very steps that the uninterrupted run would take.

Keras 3's `fit` does not run under `MultiWorkerMirroredStrategy`; a training
loop of one's own does. This is one, around the layers of `categorical_vae.py`:
it descends the negative evidence lower bound in nats per image,

    -ELBO = E_{z~q(.|x)}[-log p(x|z)] + KL(q(.|x) || p),

on scikit-learn's digits, grey levels as targets of a binary cross-entropy.

Every worker runs this same script, and the environment variable TF_CONFIG
tells it who it is. Workers on one machine are started by `--workers`; without
either, the script trains alone, on the same batches.

    python examples/multi_worker.py --out run
    python examples/multi_worker.py --out run --workers 2
    TF_CONFIG=... python examples/multi_worker.py --out /shared/run

where TF_CONFIG is, on the second of two machines,

    {"cluster": {"worker": ["one:2222", "two:2222"]},
     "task": {"type": "worker", "index": 1}}

What the layers bring along: each replica folds its number into their seeds, so
that no two draw the same noise; where their noise and their annealing stand
are variables, equal on all workers and part of every checkpoint. A job that is
stopped and started again therefore takes the steps that the uninterrupted one
would have taken, those since the last checkpoint once more.

What TensorFlow does when a worker dies: it ends the others. Their collective
operation fails with `UnavailableError`, at once where a connection breaks, and
a worker that is started again cannot join a running job. So the whole job is
started again, which is what `--workers` does here and a cluster's scheduler
does elsewhere. `--out` must be a folder that every worker sees.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from _arguments import Parser, integer, number, positive
from sklearn.datasets import load_digits

import tfgumbel as tg

TRAINING = 1497  # images; the other 300 are for the test
ESTIMATORS = ("gumbel_softmax", "st_gumbel", "reinmax", "st")


def main(argv: list[str] | None = None) -> None:
    """Trains as one worker, or starts the workers of this machine."""
    args = parse(argv)
    if args.workers is None or "TF_CONFIG" in os.environ:
        train(args)
    else:
        own = sys.argv[1:] if argv is None else argv
        launch([sys.executable, __file__, *own], args.workers, args.restarts)


# Model --------------------------------------------------------------------


class VAE(keras.Model):
    """Maps images `[B, 8, 8]` to -ELBO per image, `[B]`."""

    def __init__(
        self, sampler: keras.layers.Layer, latents: int, classes: int
    ) -> None:
        super().__init__(name="vae")
        self.encoder = perceptron((8, 8), (latents, classes))
        self.sampler = sampler
        self.decoder = perceptron((latents, classes), (8, 8))

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        logits = self.encoder(images)
        divergence = tf.reduce_sum(tg.ops.categorical_kl(logits), axis=1)
        code = self.sampler(logits, training=training)
        misfit = tf.nn.sigmoid_cross_entropy_with_logits(
            labels=images, logits=self.decoder(code)
        )
        return tf.reduce_sum(misfit, axis=(1, 2)) + divergence


def perceptron(inputs: Sequence[int], outputs: Sequence[int]) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(inputs),
            keras.layers.Flatten(),
            keras.layers.Dense(128, activation="relu"),
            keras.layers.Dense(math.prod(outputs)),
            keras.layers.Reshape(outputs),
        ]
    )


def make_sampler(args: argparse.Namespace) -> keras.layers.Layer:
    """The annealing runs inside the graph, one step per training call.

    Not training, every sampler draws exact one-hot codes, as the bound wants.
    """
    schedule = tg.schedules.ExponentialAnnealing(1.0, args.rate, minimum=0.3)
    options = {"inference": "sample", "seed": args.seed, "name": "sampler"}
    if args.estimator == "gumbel_softmax":
        return tg.GumbelSoftmax(schedule, **options)
    if args.estimator == "st_gumbel":
        return tg.StraightThroughCategorical("st_gumbel", schedule, **options)
    return tg.StraightThroughCategorical(args.estimator, **options)


# Data ---------------------------------------------------------------------


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Training and test images, `[N, 8, 8]`, grey levels in [0, 1]."""
    images = load_digits().images.astype("float32") / 16.0
    order = np.random.default_rng(0).permutation(len(images))
    return images[order[-TRAINING:]], images[order[:-TRAINING]]


def batches(
    strategy: tf.distribute.Strategy,
    images: np.ndarray,
    args: argparse.Namespace,
    start: int,
) -> Iterator[Any]:
    """Batches of the whole job from step `start` on, each replica's share.

    All workers shuffle alike and each takes its part of every batch, so that
    the batch of a step is the same for any number of workers, and for a run
    that was interrupted.
    """
    replicas = strategy.num_replicas_in_sync
    if args.batch_size % replicas:
        raise SystemExit(
            f"--batch-size must be a multiple of {replicas} replicas"
        )

    def share(context: tf.distribute.InputContext) -> tf.data.Dataset:
        shuffled = tf.data.Dataset.from_tensor_slices(images).shuffle(
            len(images), seed=args.seed
        )
        shares = shuffled.repeat().batch(args.batch_size // replicas)
        return shares.skip(start * replicas).shard(
            context.num_input_pipelines, context.input_pipeline_id
        )

    return iter(strategy.distribute_datasets_from_function(share))


# Training -----------------------------------------------------------------


def train(args: argparse.Namespace) -> VAE:
    """Trains from the last checkpoint, or from scratch, to the end."""
    strategy = make_strategy()
    keras.utils.set_random_seed(args.seed)  # before weights are drawn
    with strategy.scope():
        model = VAE(make_sampler(args), args.latents, args.classes)
        optimizer = keras.optimizers.Adam(args.learning_rate)
        optimizer.build(model.trainable_variables)
    # Of the bounds of this epoch, the same on all workers.
    total = tf.Variable(0.0)
    checkpoint = tf.train.Checkpoint(
        model=model, optimizer=optimizer, total=total
    )
    restore(checkpoint, args.out)
    start = int(optimizer.iterations.numpy())
    report(f"{describe(strategy)}, from step {start}")

    images, test = load_images()
    steps = args.steps or len(images) // args.batch_size
    step = make_step(strategy, model, optimizer)
    data = batches(strategy, images, args, start)
    manager = make_manager(checkpoint, args.out)
    for count in range(start + 1, args.epochs * steps + 1):
        total.assign_add(step(next(data)))
        if count % steps == 0:
            bound = float(total) / steps
            report(f"epoch {count // steps}: train -ELBO {bound:.2f} nats")
            total.assign(0.0)
        if count % args.save_every == 0 or count == args.epochs * steps:
            manager.save(count)
    bound = evaluate(strategy, model, test, args.samples)
    report(f"test -ELBO {bound:.2f} nats")
    return model


def make_step(
    strategy: tf.distribute.Strategy,
    model: VAE,
    optimizer: keras.optimizers.Optimizer,
) -> Callable[[Any], tf.Tensor]:
    """One step of all replicas: batch in, mean -ELBO of the batch out."""

    def replica_step(images: tf.Tensor) -> tf.Tensor:
        variables = [v.value for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            bound = tf.reduce_mean(model(images, training=True))
            # The optimizer adds up the gradients of the replicas.
            loss = bound / strategy.num_replicas_in_sync
        gradients = tape.gradient(loss, variables)
        optimizer.apply(gradients, model.trainable_variables)
        return bound

    @tf.function
    def step(images: Any) -> tf.Tensor:
        bounds = strategy.run(replica_step, args=(images,))
        return strategy.reduce("MEAN", bounds, axis=None)

    return step


def evaluate(
    strategy: tf.distribute.Strategy,
    model: VAE,
    images: np.ndarray,
    samples: int,
) -> float:
    """Mean -ELBO; each replica draws codes of its own for all images."""

    @tf.function
    def one_pass() -> tf.Tensor:
        bounds = strategy.run(lambda: tf.reduce_mean(model(images)))
        return strategy.reduce("MEAN", bounds, axis=None)

    return float(np.mean([one_pass() for _ in range(samples)]))


# Cluster ------------------------------------------------------------------


def make_strategy() -> tf.distribute.Strategy:
    """The strategy of the cluster, or TensorFlow's default one."""
    if "TF_CONFIG" in os.environ:
        return tf.distribute.MultiWorkerMirroredStrategy()
    return tf.distribute.get_strategy()


def worker_index() -> int:
    """0 for the chief, and for a process that is alone."""
    config = json.loads(os.environ.get("TF_CONFIG", "{}"))
    return int(config.get("task", {}).get("index", 0))


def describe(strategy: tf.distribute.Strategy) -> str:
    return f"{strategy.num_replicas_in_sync} replica(s)"


def report(line: str) -> None:
    """Prints, on the chief alone."""
    if worker_index() == 0:
        print(line, flush=True)


def make_manager(
    checkpoint: tf.train.Checkpoint, out: pathlib.Path
) -> tf.train.CheckpointManager:
    """All workers save, as TensorFlow wants it; the chief's files count."""
    chief = worker_index() == 0
    folder = out / "checkpoints" if chief else tempfile.mkdtemp()
    return tf.train.CheckpointManager(checkpoint, folder, max_to_keep=2)


def restore(checkpoint: tf.train.Checkpoint, out: pathlib.Path) -> None:
    """Restores the chief's last checkpoint, if there is one."""
    latest = tf.train.latest_checkpoint(out / "checkpoints")
    if latest is not None:
        checkpoint.restore(latest).assert_existing_objects_matched()


def launch(
    command: Sequence[str], workers: int, restarts: int, stdout: Any = None
) -> None:
    """Runs the command as all workers of a cluster on this machine.

    When a worker fails the others are ended and all are started again, at
    most `restarts` times.
    """
    for _ in range(restarts + 1):
        if run_job(command, workers, stdout):
            return
        print("A worker failed", flush=True)
    raise SystemExit(f"The job failed {restarts + 1} times")


def run_job(command: Sequence[str], workers: int, stdout: Any) -> bool:
    """Runs the workers to the end of all, or of the first that fails."""
    addresses = [f"localhost:{port}" for port in free_ports(workers)]
    processes = []
    try:
        for index in range(workers):
            config = {
                "cluster": {"worker": addresses},
                "task": {"type": "worker", "index": index},
            }
            environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
            processes.append(
                subprocess.Popen(command, env=environment, stdout=stdout)
            )
        while True:
            codes = [process.poll() for process in processes]
            if any(codes):
                return False
            if None not in codes:
                return True
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def free_ports(count: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [each.getsockname()[1] for each in sockets]


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Categorical VAE on several workers; --out is a folder that all see.",
        out="multi-worker-out",
    )
    add = parser.add_argument
    add(
        "--workers",
        type=integer(),
        help="processes to start on this machine (default: none; this process "
        "trains, as TF_CONFIG says)",
    )
    help = "restarts of all --workers, after one of them failed"
    add("--restarts", type=integer(0), default=3, help=help)
    add(
        "--estimator",
        choices=ESTIMATORS,
        default="gumbel_softmax",
        help="how the gradient is taken through the sample",
    )
    add("--epochs", type=integer(), default=20, help="passes over the data")
    help = "steps in an epoch (default: as many as all images take)"
    add("--steps", type=integer(), help=help)
    help = "steps between checkpoints"
    add("--save-every", type=integer(), default=30, help=help)
    help = "images in a step of all replicas"
    add("--batch-size", type=integer(1, TRAINING), default=50, help=help)
    add("--latents", type=integer(), default=8, help="D, number of variables")
    add("--classes", type=integer(2), default=10, help="K, classes of each")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    help = "share by which the temperature falls, per step"
    add("--rate", type=number(), default=4e-3, help=help)
    help = "codes for each test image in the bound"
    add("--samples", type=integer(), default=10, help=help)
    args = parser.parse_args(argv)
    if args.batch_size % (args.workers or 1):
        parser.error(
            "argument --batch-size: must be a multiple of --workers, "
            f"{args.workers}, not {args.batch_size}"
        )
    return args


if __name__ == "__main__":
    main()
