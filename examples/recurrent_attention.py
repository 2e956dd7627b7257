"""Finding a digit in a large, empty field, and reading it glimpse by glimpse.

An 8x8 digit lies somewhere in a field of 32x32 pixels. The reader sees little
of it at a time: at a point of its choice a sharp patch of 6x6 pixels, and
around it a blurred one of 36x36 that tells roughly where something is. A
recurrent network remembers what was seen, says which digit it takes it for, and
where to look next. Points are continuous, and drawn from a Gaussian whose mean
and variance the network gives (Mnih, Heess, Graves and Kavukcuoglu 2014):

- `reinforce`: the score function. A `ReinforceSampler("gaussian")` in a
  `StochasticModel` is fed the example's own cross-entropy by `fit`: that of its
  glimpse and of later ones, `credit="to_go"`. A learned baseline predicts it
  from the memory;
- `pathwise`: patches are weighted means of pixels, so that the loss has a
  derivative in the point too, and `ReparamGaussian` sends it back. It tells
  what a small step would change, which is nothing where a patch is empty. (Not
  among the readers by default.)
- `fixed`: points that are learned, but the same for all fields;
- `random`: points drawn anywhere.

All see equally many patches. The test is of what they say in the end, and there
the learned readers look at the mean.
The picture has the path of the first one over fields that are new to it.

    python examples/recurrent_attention.py --out glimpses-out
    python examples/recurrent_attention.py --mnist mnist.npz --out glimpses-m

With MNIST a digit of 28x28 pixels lies in a field of 100x100, and patches have
18x18 pixels, or cover 108x108.

Reference:
    Mnih, Heess, Graves, Kavukcuoglu. Recurrent models of visual attention.
    NeurIPS 2014.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from _digits import load_digits
from keras import ops

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# Pixels of the field and of a patch, in a row.
SIZES = {"digits": (32, 6), "mnist": (100, 18)}
EPOCHS = {"digits": 100, "mnist": 5}  # For what is not given.
SCALES = (1, 6)  # Pixels of the field to one of a patch.
WIDE = 0.5  # Standard deviation of random points.
# What draws the points.
READERS: dict[str, Any] = {
    "reinforce": lambda: tg.ReinforceSampler("gaussian", credit="to_go"),
    "pathwise": lambda: tg.ReparamGaussian(),
    "fixed": lambda: tg.ReparamGaussian(),
    "random": lambda: tg.ReparamGaussian(inference="sample"),
}


class Data(NamedTuple):
    """Digits in rows of pixels, grey levels in [0, 1], and labels."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def main(argv: list[str] | None = None) -> dict[str, float]:
    """Trains every reader; returns the test accuracy of each."""
    args = parse(argv)
    train, test = load_digits(args.mnist)
    data = Data(*train, *test)
    args.out.mkdir(parents=True, exist_ok=True)
    test = place(data.x_test, args.field, np.random.default_rng(args.seed))
    found, shown = {}, None
    print(f"{'points':12}{'test accuracy':>14}{'seconds':>9}")
    for name in args.readers:
        keras.utils.set_random_seed(args.seed)
        start = time.process_time()
        reader, paths = make_reader(name, args)
        fit(reader, data, args)
        seconds = time.process_time() - start
        logits = reader.predict(test, batch_size=300, verbose=0)
        right = np.argmax(logits[:, -1], axis=-1) == data.y_test
        found[name] = float(np.mean(right))
        print(f"{name:12}{found[name]:>14.3f}{seconds:>9.0f}", flush=True)
        if shown is None:
            shown = paths.predict(test[:16], verbose=0)
    plot(args.out / "glimpses.png", test[:16], shown, args)
    print(f"Wrote {args.out / 'glimpses.png'}")
    return found


def place(
    images: np.ndarray, field: int, random: np.random.Generator
) -> np.ndarray:
    """Each image anywhere in a field of zeros, `[N, field, field]`."""
    count, side, _ = images.shape
    fields = np.zeros((count, field, field), "float32")
    corners = random.integers(field - side + 1, size=(count, 2))
    for there, image, (row, column) in zip(fields, images, corners):  # noqa: B905
        there[row : row + side, column : column + side] = image
    return fields


# Model --------------------------------------------------------------------


class Retina(keras.layers.Layer):
    """Patches of fields around points in [-1, 1]², `[B, scales · size²]`.

    A pixel of a patch is the mean of the field under a pyramid as wide as the
    scale.

    Args:
        size: Pixels of a patch in a row.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def call(self, field, point):
        patches = []
        for scale in SCALES:
            down = self.weights_of(point[:, :1], scale, field.shape[1])
            across = self.weights_of(point[:, 1:], scale, field.shape[1])
            rows = ops.matmul(down, field)
            patch = ops.matmul(rows, ops.transpose(across, (0, 2, 1)))
            patches.append(ops.reshape(patch, (-1, self.size**2)))
        return ops.concatenate(patches, axis=-1)

    def weights_of(self, point, scale: int, field: int):
        """How much each row of the field counts, `[B, size, field]`."""
        middle = (point + 1.0) / 2.0 * (field - 1)
        steps = scale * (np.arange(self.size) - (self.size - 1) / 2)
        rows = middle + steps.astype("float32")
        away = ops.abs(rows[:, :, None] - np.arange(field, dtype="float32"))
        return ops.relu(1.0 - away / scale) / scale

    def compute_output_shape(self, field_shape, point_shape):
        return (field_shape[0], len(SCALES) * self.size**2)


def make_reader(
    name: str, args: argparse.Namespace
) -> tuple[keras.Model, keras.Model]:
    """From fields to logits `[B, T, 10]`, and to the points `[B, T, 2]`."""
    sampler, retina = READERS[name](), Retina(args.size)
    look = keras.layers.Dense(args.hidden, activation="relu")
    memory = keras.layers.GRUCell(args.hidden)
    # Widely around the middle at first: an empty patch says nothing.
    aim = keras.layers.Dense(2, activation="tanh", kernel_initializer="zeros")
    doubt = keras.layers.Dense(2, kernel_initializer="zeros")

    field = keras.Input((args.field, args.field))
    state = ops.tile(0.0 * field[:, 0, :1], (1, args.hidden))
    points, states = [], []
    for t in range(args.glimpses):
        turn = 0.0 * state[:, :1] + np.eye(args.glimpses, dtype="float32")[t]
        # The fixed points know whose turn it is, and nothing else.
        seen = 0.0 * state if name == "fixed" else state
        context = ops.concatenate([seen, turn], axis=-1)
        mean = aim(context)
        if points and name != "fixed":
            mean += points[-1][:, 0]  # from where it looks
        log_variance = doubt(context) + 2.0 * np.log(args.deviation)
        if name == "random":
            mean, log_variance = 0.0 * mean, 0.0 * mean + 2.0 * np.log(WIDE)
        point = draw(sampler, (mean, log_variance), context)
        point = ops.clip(point, -1.0, 1.0)
        points.append(point[:, None])
        glimpse = ops.concatenate([retina(field, point), point], axis=-1)
        state, _ = memory(look(glimpse), [state])
        states.append(state[:, None])
    logits = keras.layers.Dense(10)(ops.concatenate(states, axis=1))
    paths = ops.concatenate(points, axis=1)
    return tg.StochasticModel(field, logits), keras.Model(field, paths)


def draw(sampler, parameters, context):
    """The score function's baseline is told what is remembered."""
    if isinstance(sampler, tg.ReinforceSampler):
        return sampler(parameters, context)
    return sampler(parameters)


class Placed(keras.utils.PyDataset):
    """Batches of digits, anew at other places in every epoch."""

    def __init__(self, data: Data, args: argparse.Namespace) -> None:
        super().__init__()
        self.data, self.args = data, args
        self.random = np.random.default_rng(args.seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        self.order = self.random.permutation(len(self.data.x_train))

    def __len__(self):
        return -(-len(self.order) // self.args.batch_size)

    def __getitem__(self, index):
        size = self.args.batch_size
        chosen = self.order[index * size : (index + 1) * size]
        x = place(self.data.x_train[chosen], self.args.field, self.random)
        y = self.data.y_train[chosen, None]
        return x, np.repeat(y, self.args.glimpses, axis=1)


def fit(reader: keras.Model, data: Data, args: argparse.Namespace) -> None:
    """Descends the cross-entropy after each glimpse, with a falling rate."""
    batches = Placed(data, args)
    rate = keras.optimizers.schedules.CosineDecay(
        args.learning_rate, args.epochs * len(batches)
    )
    reader.compile(
        keras.optimizers.Adam(rate, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    reader.fit(batches, epochs=args.epochs, verbose=args.verbose)


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    fields: np.ndarray,
    points: np.ndarray,
    args: argparse.Namespace,
) -> None:
    """The path over each field; frames are the sharp patches."""
    figure, axes = plt.subplots(2, 8, figsize=(11, 3), layout="constrained")
    middles = (points + 1.0) / 2.0 * (args.field - 1)
    for axis, field, middle in zip(axes.flat, fields, middles, strict=True):
        axis.imshow(field, "gray", vmin=0, vmax=1)
        rows, columns = middle.T
        axis.plot(columns, rows, "-", color="tab:orange", lw=1.5)
        for t, (row, column) in enumerate(middle):
            corner = (column - args.size / 2, row - args.size / 2)
            axis.add_patch(
                plt.Rectangle(
                    corner, args.size, args.size, fill=False, ec=f"C{t}"
                )
            )
        axis.plot(columns[-1], rows[-1], "o", color="tab:orange", ms=4)
        axis.set(xticks=[], yticks=[])
        axis.set(xlim=(-0.5, args.field - 0.5), ylim=(args.field - 0.5, -0.5))
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Recurrent attention: finding and reading digits in a large field.",
        out="glimpses-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--readers",
        nargs="+",
        choices=READERS,
        default=["reinforce", "fixed", "random"],
        help="how points are found; the picture is of the first",
    )
    parser.add_mnist("read")
    add("--glimpses", type=integer(), default=4, help="T, number of points")
    help = "standard deviation of a point at first; 2 is the side of the field"
    add("--deviation", type=positive, default=0.3, help=help)
    add("--hidden", type=integer(), default=128, help="units of the memory")
    epochs = ", ".join(f"{count} for {name}" for name, count in EPOCHS.items())
    help = f"passes over the data (default: {epochs})"
    add("--epochs", type=integer(), help=help)
    add("--batch-size", type=integer(), default=50, help="fields in a step")
    add("--learning-rate", type=positive, default=2e-3, help="of Adam")
    args = parser.parse_args(argv)
    kind = "digits" if args.mnist is None else "mnist"
    args.field, args.size = SIZES[kind]
    args.epochs = args.epochs or EPOCHS[kind]
    return args


if __name__ == "__main__":
    main()
