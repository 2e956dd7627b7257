"""Codebooks: time, memory, and how many codes stay in use.

`speed`: 4,096 vectors of 64 numbers and 8,192 codes; one call quantizes in
training, computes Σ w·y for a fixed random w plus the quantizer's losses, and
their gradients in the vectors (and in the codes, where these are trained).
Beside `StochasticQuantizer` stand plain TensorFlow as VQ-VAE code has it, and
vector-quantize-pytorch, eager. Each is called in a process of its own, in
turns; the peak is that of its first call, a time the median over the others.

`use`: an autoencoder of 4×4 patches of MNIST, 512 codes, trained in several
ways from two starts; `docs/guides/codes.md` says more. In use is a code that
some test patch draws, the nearest one.
"""

from __future__ import annotations

import importlib
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfgumbel as tg
from benchmarks import _memory, _mnist, _runner, _samplers
from benchmarks._runner import Arguments, Call, Options, Row

PACKAGES = [*_runner.PACKAGES, "torch", "vector-quantize-pytorch"]
PLAIN, TORCH = "plain TensorFlow", "vector-quantize-pytorch"
# Options of the layer, by the name of the contender.
OURS: dict[str, Row] = {
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
LIMITS = {"time": ("wall_ms", 1.0), "memory": ("peak_mib", 0.7)}
UNUSED = 0.1
PATCH, BOOK, NARROW = 16, 512, 8
STARTS = {"around 0": 0.0, "far away": 5.0}
NEAREST, DRAWN = {"estimator": "nearest"}, {"estimator": "copy"}
FOREVER, AVERAGES = {"revive_after": None}, {"update": "ema"}
FALLS, USAGE = {"scale": "falls"}, {"usage_loss": "entropy"}
WAYS: dict[str, Row] = {
    PLAIN: {},
    "nearest": NEAREST | FOREVER,
    "nearest, revived": NEAREST,
    "averages": NEAREST | AVERAGES | FOREVER,
    "averages, revived": NEAREST | AVERAGES,
    "drawn, revived": DRAWN | AVERAGES | FALLS,
    "usage loss": DRAWN | FALLS | FOREVER | USAGE,
    "usage loss, revived": DRAWN | FALLS | USAGE,
}
SPEED_COLUMNS = ["name", "wall_ms", "least_wall_ms", "cpu_ms", "peak_mib"]
USE_COLUMNS = ["way", "start", "used_before", "used", "perplexity", "error"]


def plain_quantizer(x: Any, book: Any) -> tuple[Any, Any]:
    """What VQ-VAE code in TensorFlow does: the output, and the loss."""
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


class Plain(keras.layers.Layer):
    """The same as a layer."""

    def __init__(self, codes: int, dim: int, initializer: Any) -> None:
        super().__init__()
        self.codebook = self.add_weight(
            shape=(codes, dim), initializer=initializer
        )

    def call(self, inputs: Any) -> Any:
        book = tf.convert_to_tensor(self.codebook)
        codes, loss = plain_quantizer(inputs, book)
        self.add_loss(loss)
        return codes


def arrays(options: Options) -> Any:
    """Vectors and weights w."""
    shape = (2, options.vectors, options.dim)
    return np.random.default_rng(0).standard_normal(shape, dtype="float32")


def tf_call(options: Options) -> Call:
    """One call of the plain quantizer, or of the package's."""
    x, weights = arrays(options)
    keras.utils.set_random_seed(0)
    start = keras.initializers.RandomNormal(stddev=1.0)
    sizes, name = (options.codes, options.dim), options.contender
    layer: Any = Plain(*sizes, start)
    if name != PLAIN:
        layer = tg.StochasticQuantizer(*sizes, initializer=start, **OURS[name])
    layer.build(x.shape)
    sources = [weight.value for weight in layer.trainable_weights]

    def loss(x: Any, seed: Any) -> Any:
        y = layer(x, training=True)
        return tf.add_n(layer.losses) + tf.reduce_sum(weights * y)

    return _samplers.gradients(loss, x, sources)


def torch_call(options: Options) -> Call:
    """One call of vector-quantize-pytorch."""
    import torch

    peer: Any = importlib.import_module("vector_quantize_pytorch")
    torch.manual_seed(0)
    how = {"commitment_weight": 0.25, "threshold_ema_dead_code": 2}
    sizes = {"dim": options.dim, "codebook_size": options.codes}
    quantizer = peer.VectorQuantize(**sizes, decay=0.99, **how)
    quantizer.train()

    def draw(x: Any) -> Any:
        y, _, commitment = quantizer(x[None])
        return y[0], commitment.sum()

    return _samplers.torch_step(draw, *arrays(options))


def speeds(options: Options) -> list[Row]:
    """A row for each contender, all of them in turns."""
    given = "vectors", "codes", "dim", "calls"
    rows = _memory.in_turns(options.only, options, *given)
    for row in rows.values():
        if "failed" not in row:
            row["wall_ms"] = row.pop("median_ms")
            row["least_wall_ms"] = row.pop("min_ms")
    return [{"name": name, **row} for name, row in rows.items()]


def patches(mnist: str | None) -> tuple[Any, ...]:
    """Patches of the training and test images, `[N, 16]`, in [0, 1]."""
    data = _mnist.load(mnist)
    few = (data[name][:10_000] for name in ("x_train", "x_test"))
    grids = (images.reshape(-1, 7, 4, 7, 4).swapaxes(2, 3) for images in few)
    return tuple(x.reshape(-1, PATCH).astype("float32") / 255.0 for x in grids)


def make_layer(way: str, start: str, steps: int) -> Any:
    """The quantizer of one way to train, from one start."""
    first = keras.initializers.RandomNormal(STARTS[start], 0.05, seed=1)
    if way == PLAIN:
        return Plain(BOOK, NARROW, first)
    options = WAYS[way] | {"initializer": first, "seed": 3}
    if "scale" in options:
        between = tg.schedules.ExponentialAnnealing.between
        options["scale"] = between(0.3, 0.003, steps=max(1, steps // 2))
    if "usage_loss" in options:
        kind = options["usage_loss"]
        options["usage_loss"] = tg.CodeUsageLoss(kind, weight=0.1)
    return tg.StochasticQuantizer(BOOK, NARROW, **options)


def train(way: str, start: str, data: tuple[Any, ...], steps: int) -> Row:
    """Codes in use, before and after, and the error of the test patches."""
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

    before, batch = counts(), 1024
    rows = np.random.default_rng(0).integers(len(data[0]), size=steps * batch)
    model.fit(data[0][rows], data[0][rows], batch, shuffle=False, verbose=0)
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


def targets(report: Row) -> list[Row]:
    """What the layer has to reach, and whether it does."""
    rows = {row["name"]: row for row in report["speed"] if "failed" not in row}
    figures: list[tuple[str, float, float]] = []
    for ours, peer in PAIRS.items():
        for label, (key, limit) in LIMITS.items():
            if {ours, peer} <= set(rows) and rows[ours][key] is not None:
                ratio = round(rows[ours][key] / rows[peer][key], 3)
                figures.append((f"{ours} / {peer}: {label}", ratio, limit))
    use = {(row["way"], row["start"]): row for row in report["use"]}
    plain = use.get((PLAIN, "around 0"))
    for way in WAYS:
        row = use.get((way, "far away"))
        if row and plain and way.endswith("revived"):
            text, unused = f"{way}, far away", round(1.0 - row["used"], 4)
            error = round(row["error"] / plain["error"], 3)
            figures.append((f"{text}: codes unused", unused, UNUSED))
            figures.append((f"{text} / {PLAIN}: error", error, 1.0))
    return [_runner.target(*figure) for figure in figures]


def main(arguments: Arguments = None) -> Row:
    """Measures what is not in the JSON yet."""
    parser = _runner.parser("codes", __doc__)
    add = parser.add_argument
    peer = _runner.installed("vector_quantize_pytorch")
    here = [name for name in CONTENDERS if peer or name != TORCH]
    add("--mnist", metavar="FILE", help="in Keras's layout")
    add("--only", nargs="*", default=here, choices=CONTENDERS)
    add("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_defaults(steps=2000, calls=10, processes=3, timeout=600.0)
    parser.add_defaults(vectors=4096, codes=8192, dim=64)
    add("--again", action="store_true", help="measure what is there, too")
    add("--contender", choices=CONTENDERS, help="one of them, here and now")
    options = _runner.parse(parser, arguments)
    if options.contender:
        make = torch_call if options.contender == TORCH else tf_call
        return _memory.report(make(options), options.calls)
    report: Row = {"benchmark": "codes", "speed": [], "use": []}
    if not options.again:
        report = _runner.read(options.out, report)
    report["command"] = options.command
    report["environment"] = _runner.environment(PACKAGES)
    known = {row["name"] for row in report["speed"]}
    options.only = [name for name in options.only if name not in known]
    report["speed"] += speeds(options)
    trained = {(row["way"], row["start"]) for row in report["use"]}
    jobs = [(w, s) for s in STARTS for w in options.ways]
    jobs = [job for job in jobs if job not in trained]
    data = patches(options.mnist) if jobs else ()
    for job in jobs:
        report["use"].append(train(*job, data, options.steps))
        print(report["use"][-1], flush=True)
        _runner.write(options.out, report)
    report["targets"] = targets(report)
    _runner.write(options.out, report)
    _runner.show(SPEED_COLUMNS, report["speed"])
    _runner.show(USE_COLUMNS, report["use"], report["targets"])
    return report


if __name__ == "__main__":
    main()
