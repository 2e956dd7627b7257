"""Codebooks: time, memory, and how many codes stay in use.

Run `python -m benchmarks.codes --mnist FILE` (without it, Keras fetches MNIST).

`speed`: 4,096 vectors of 64 numbers and 8,192 codes; one call quantizes in
training, computes Σ w·y for a fixed random w plus the quantizer's losses, and
their gradients in the vectors (and in the codes, where these are trained).

* `StochasticQuantizer`: the nearest code or a drawn one, with averages or
  trained codes;
* plain TensorFlow: all distances, argmin, one-hot × codebook and a copied
  gradient, as VQ-VAE code does;
* vector-quantize-pytorch: its `VectorQuantize`, which runs in PyTorch, eagerly.

Each is called in a process of its own, in turns; the peak is what its resident
memory rises to in its first call, less what it was before.

`use`: an autoencoder of 4×4 patches of MNIST, 512 codes, trained in several
ways from two starts: codes drawn around the origin, and far away from it. In
use is a code that some test patch draws, the nearest one.

What stands in the JSON is not measured again, unless `--again` is given.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import _memory, _timing

OUT = Path(__file__).parent / "results" / "codes.json"
PACKAGES = ["tensorflow", "keras", "numpy", "torch", "vector-quantize-pytorch"]
VECTORS, CODES, DIM = 4096, 8192, 64
PLAIN, TORCH = "plain TensorFlow", "vector-quantize-pytorch"
# Options of the layer, by the name of the contender.
OURS: dict[str, dict[str, Any]] = {
    "nearest, averages": {"estimator": "nearest", "update": "ema"},
    "nearest, trained": {"estimator": "nearest", "update": "gradient"},
    "drawn (copy), averages": {"estimator": "copy", "update": "ema"},
    "drawn (st), averages": {"estimator": "st", "update": "ema"},
    "drawn (reinmax), trained": {"estimator": "reinmax"},
    "drawn (st_gumbel), averages": {"estimator": "st_gumbel", "update": "ema"},
}
CONTENDERS = [PLAIN, TORCH, *OURS]
# What is compared with either peer: a code chosen in the same way, that learns
# in the same way.
PAIRS = {"nearest, trained": PLAIN, "nearest, averages": TORCH}
SPEEDUP, MEMORY = 1.0, 0.7
USED = 0.9
PATCH, BOOK, NARROW = 16, 512, 8
STARTS = {"around 0": 0.0, "far away": 5.0}
WAYS: dict[str, dict[str, Any]] = {
    PLAIN: {},
    "nearest": {"estimator": "nearest", "revive_after": None},
    "nearest, revived": {"estimator": "nearest"},
    "averages": {
        "estimator": "nearest",
        "update": "ema",
        "revive_after": None,
    },
    "averages, revived": {"estimator": "nearest", "update": "ema"},
    "drawn, revived": {"estimator": "copy", "update": "ema", "scale": "falls"},
    "usage loss": {
        "estimator": "copy",
        "scale": "falls",
        "revive_after": None,
        "usage_loss": "entropy",
    },
    "usage loss, revived": {
        "estimator": "copy",
        "scale": "falls",
        "usage_loss": "entropy",
    },
}
Call = Callable[[], Any]


# Speed ----------------------------------------------------------------------


def arrays(options: argparse.Namespace) -> Any:
    import numpy as np

    generator = np.random.default_rng(0)
    shape = (2, options.vectors, options.dim)
    return generator.standard_normal(shape, dtype="float32")


def plain_quantizer(x: Any, book: Any) -> tuple[Any, Any]:
    """What VQ-VAE code in TensorFlow does: the output, and the loss."""
    import tensorflow as tf

    distances = (
        tf.reduce_sum(x**2, axis=1, keepdims=True)
        + tf.reduce_sum(book**2, axis=1)
        - 2.0 * tf.matmul(x, book, transpose_b=True)
    )
    one_hot = tf.one_hot(tf.argmin(distances, axis=1), book.shape[0])
    codes = tf.matmul(one_hot, book)
    loss = 0.25 * tf.reduce_mean((x - tf.stop_gradient(codes)) ** 2)
    loss += tf.reduce_mean((tf.stop_gradient(x) - codes) ** 2)
    return x + tf.stop_gradient(codes - x), loss


def tf_call(options: argparse.Namespace) -> Call:
    import keras
    import tensorflow as tf

    import tfgumbel as tg

    x, weights = map(tf.constant, arrays(options))
    keras.utils.set_random_seed(0)
    if options.contender == PLAIN:
        start = tf.random.normal([options.codes, options.dim])
        book = tf.Variable(start)
        sources = [book]
    else:
        layer = tg.StochasticQuantizer(
            options.codes,
            options.dim,
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            **OURS[options.contender],
        )
        layer.build(x.shape)
        sources = [w.value for w in layer.trainable_weights]

    @tf.function(autograph=False)
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            if options.contender == PLAIN:
                y, loss = plain_quantizer(x, book)
            else:
                y = layer(x, training=True)
                loss = tf.add_n(layer.losses)
            loss += tf.reduce_sum(weights * y)
        return tape.gradient(loss, [x, *sources])

    call = step.get_concrete_function(x)

    def run() -> Any:
        result = call(x)
        tf.test.experimental.sync_devices()
        return result

    return run


def torch_call(options: argparse.Namespace) -> Call:
    import torch
    from vector_quantize_pytorch import (  # type: ignore[import-not-found]
        VectorQuantize,
    )

    torch.manual_seed(0)
    x, weights = map(torch.tensor, arrays(options))
    x.requires_grad_()
    quantizer = VectorQuantize(
        dim=options.dim,
        codebook_size=options.codes,
        decay=0.99,
        commitment_weight=0.25,
        threshold_ema_dead_code=2,
    )
    quantizer.train()

    def call() -> Any:
        y, _, commitment = quantizer(x[None])
        loss = torch.sum(weights * y[0]) + commitment.sum()
        return torch.autograd.grad(loss, x)

    return call


def contender(options: argparse.Namespace) -> dict[str, Any]:
    """Figures of one contender; run in a process of its own."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    make = torch_call if options.contender == TORCH else tf_call
    call = make(options)
    peak = _memory.peak(call) if _memory.measurable() else None
    wall, cpu = [], []
    for _ in range(options.calls):
        start, cpu_start = time.perf_counter(), time.process_time()
        call()
        wall.append(time.perf_counter() - start)
        cpu.append(time.process_time() - cpu_start)
    return {"wall": wall, "cpu": cpu, "peak": peak}


def speeds(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each contender, all of them in turns."""
    found: dict[str, list[dict[str, Any]]] = {n: [] for n in options.only}
    for _ in range(options.processes):
        for name in options.only:
            command = ["-m", "benchmarks.codes", "--contender", name]
            for key in ("vectors", "codes", "dim", "calls"):
                command += [f"--{key}", str(getattr(options, key))]
            run = _memory.in_process(command, options.timeout)
            found[name].append(run)
    return [speed(name, runs) for name, runs in found.items()]


def speed(name: str, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the calls of all processes."""
    failed = [run for run in runs if "failed" in run]
    if failed:
        return {"name": name, **failed[0]}
    row: dict[str, Any] = {"name": name}
    for key in ("wall", "cpu"):
        times = [seconds for run in runs for seconds in run[key]]
        row[f"{key}_ms"] = round(1e3 * statistics.median(times), 1)
        row[f"least_{key}_ms"] = round(1e3 * min(times), 1)
    peaks = [run["peak"] for run in runs if run["peak"] is not None]
    row["peak_mib"] = round(statistics.median(peaks), 1) if peaks else None
    return row


# Use ------------------------------------------------------------------------


def patches(mnist: str | None) -> tuple[Any, Any]:
    """Patches of the training and test images, `[N, 16]`, in [0, 1]."""
    from benchmarks import _mnist

    data = _mnist.load(mnist)
    return tuple(
        data[name][:10_000]
        .reshape(-1, 7, 4, 7, 4)
        .transpose(0, 1, 3, 2, 4)
        .reshape(-1, PATCH)
        .astype("float32")
        / 255.0
        for name in ("x_train", "x_test")
    )


def make_layer(way: str, start: str, steps: int) -> Any:
    """The quantizer of one way to train, from one start."""
    import keras

    import tfgumbel as tg

    first = keras.initializers.RandomNormal(STARTS[start], 0.05, seed=1)
    if way == PLAIN:
        return plain_layer(first)
    options = dict(WAYS[way])
    if "scale" in options:
        options["scale"] = tg.schedules.ExponentialAnnealing.between(
            0.3, 0.003, steps=max(1, steps // 2)
        )
    if "usage_loss" in options:
        kind = options["usage_loss"]
        options["usage_loss"] = tg.CodeUsageLoss(kind, weight=0.1)
    return tg.StochasticQuantizer(
        BOOK, NARROW, initializer=first, seed=3, **options
    )


def plain_layer(first: Any) -> Any:
    """The plain quantizer as a layer of Keras."""
    import keras
    import tensorflow as tf

    class Plain(keras.layers.Layer):
        """All distances, argmin, one-hot × codebook."""

        def build(self, shape: Any) -> None:
            self.codebook = self.add_weight(
                shape=(BOOK, NARROW), initializer=first
            )

        def call(self, inputs: Any) -> Any:
            book = tf.convert_to_tensor(self.codebook)
            codes, loss = plain_quantizer(inputs, book)
            self.add_loss(loss)
            return codes

    return Plain()


def train(
    way: str, start: str, data: tuple[Any, Any], steps: int
) -> dict[str, Any]:
    """Codes in use, before and after, and the error of the test patches."""
    import keras
    import numpy as np

    import tfgumbel as tg

    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    x = keras.Input((PATCH,))
    vectors = dense(NARROW)(dense(64, activation="relu")(x))
    layer = make_layer(way, start, steps)
    y = dense(PATCH)(dense(64, activation="relu")(layer(vectors)))
    model, encoder = keras.Model(x, y), keras.Model(x, vectors)
    model.compile(keras.optimizers.Adam(1e-3), "mse", jit_compile=False)

    def counts() -> Any:
        found = encoder.predict(data[1], batch_size=8192, verbose=0)
        book = np.reshape(layer.codebook, [BOOK, NARROW])
        index = tg.ops.nearest_code(found, book)
        return np.bincount(index, minlength=BOOK)

    before = counts()
    batch = 1024
    taken = np.random.default_rng(0).integers(
        len(data[0]), size=(steps * batch,)
    )
    model.fit(data[0][taken], data[0][taken], batch, shuffle=False, verbose=0)
    after = counts()
    share = after[after > 0] / after.sum()
    decoded = model.predict(data[1], batch_size=8192, verbose=0)
    return {
        "way": way,
        "start": start,
        "used_before": round(float(np.mean(before > 0)), 4),
        "used": round(float(np.mean(after > 0)), 4),
        "perplexity": round(float(np.exp(-np.sum(share * np.log(share)))), 1),
        "error": round(float(np.mean((decoded - data[1]) ** 2)), 6),
    }


# Report ---------------------------------------------------------------------


def targets(report: dict[str, Any]) -> list[dict[str, Any]]:
    """What the layer has to reach, and whether it does."""
    rows = {row["name"]: row for row in report["speed"] if "failed" not in row}
    found = []
    for ours, peer in PAIRS.items():
        if {ours, peer} <= set(rows):
            a, b = rows[ours], rows[peer]
            found.append(
                target(f"{ours} / {peer}: time", a, b, "wall_ms", SPEEDUP)
            )
            if a["peak_mib"] is not None:
                found.append(
                    target(f"{ours} / {peer}: memory", a, b, "peak_mib", MEMORY)
                )
    use = {(row["way"], row["start"]): row for row in report["use"]}
    for way in WAYS:
        row, plain = use.get((way, "far away")), use.get((PLAIN, "around 0"))
        if not (row and plain and way.endswith("revived")):
            continue
        found.append(
            {
                "target": f"{way}, far away: codes unused",
                "limit": round(1.0 - USED, 2),
                "measured": round(1.0 - row["used"], 4),
                "reached": row["used"] >= USED,
            }
        )
        found.append(
            target(f"{way}, far away / {PLAIN}: error", row, plain, "error", 1)
        )
    return found


def target(
    name: str,
    ours: dict[str, Any],
    peer: dict[str, Any],
    key: str,
    limit: float,
) -> dict[str, Any]:
    """A ratio of two rows that is to be at most `limit`."""
    ratio = round(ours[key] / peer[key], 3)
    return {
        "target": name,
        "limit": limit,
        "measured": ratio,
        "reached": ratio <= limit,
    }


def show(report: dict[str, Any]) -> None:
    """Prints the tables and the targets."""
    print(f"{'':<30}{'ms':>9}{'least':>9}{'CPU ms':>9}{'peak MiB':>10}")
    for row in report["speed"]:
        if "failed" in row:
            print(f"{row['name']:<30}  {row['failed'][:48]}")
            continue
        peak = row["peak_mib"]
        print(
            f"{row['name']:<30}{row['wall_ms']:>9.1f}{row['least_wall_ms']:>9.1f}"
            f"{row['cpu_ms']:>9.1f}{'-' if peak is None else peak:>10}"
        )
    print(
        f"\n{'':<22}{'start':<10}{'before':>8}{'used':>8}{'perpl.':>8}{'error':>9}"
    )
    for row in report["use"]:
        print(
            f"{row['way']:<22}{row['start']:<10}{row['used_before']:>8.1%}"
            f"{row['used']:>8.1%}{row['perplexity']:>8.1f}{row['error']:>9.5f}"
        )
    for found in report["targets"]:
        verdict = "reached" if found["reached"] else "NOT REACHED"
        print(
            f"{found['target']:<50}{found['measured']:>8.3f}, at most "
            f"{found['limit']:g}: {verdict}"
        )


def available() -> list[str]:
    if importlib.util.find_spec("vector_quantize_pytorch"):
        return CONTENDERS
    return [name for name in CONTENDERS if name != TORCH]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add = parser.add_argument
    add("--mnist", help="a file in Keras's layout")
    add("--only", nargs="*", default=available(), choices=CONTENDERS)
    add("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    add("--steps", type=int, default=2000)
    add("--calls", type=int, default=10)
    add("--processes", type=int, default=3)
    add("--timeout", type=float, default=600.0)
    add("--vectors", type=int, default=VECTORS)
    add("--codes", type=int, default=CODES)
    add("--dim", type=int, default=DIM)
    add("--again", action="store_true", help="measure what is there, too")
    add("--out", type=Path, default=OUT)
    add("--contender", choices=CONTENDERS, help="one of them, here and now")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measures what is not in the JSON yet, prints tables and targets."""
    options = parsed(arguments)
    if options.contender:
        figures = contender(options)
        print(json.dumps(figures))
        return figures
    report: dict[str, Any] = {"benchmark": "codes", "speed": [], "use": []}
    if options.out.exists() and not options.again:
        report = json.loads(options.out.read_text())
    given = sys.argv[1:] if arguments is None else list(arguments)
    given = ["FILE" if a == options.mnist else a for a in given]
    report["command"] = " ".join(["python -m benchmarks.codes", *given])
    report["environment"] = _timing.environment(PACKAGES)
    known = {row["name"] for row in report["speed"]}
    options.only = [name for name in options.only if name not in known]
    report["speed"] += speeds(options)
    trained = {(row["way"], row["start"]) for row in report["use"]}
    jobs = [(w, s) for s in STARTS for w in options.ways]
    data = patches(options.mnist) if set(jobs) - trained else None
    for job in jobs:
        if job not in trained:
            assert data is not None
            report["use"].append(train(*job, data, options.steps))
            print(report["use"][-1], flush=True)
        report["targets"] = targets(report)
        _timing.write_json(options.out, report)
    report["targets"] = targets(report)
    _timing.write_json(options.out, report)
    show(report)
    return report


if __name__ == "__main__":
    main()
