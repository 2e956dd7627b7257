"""A digit classifier that sheds pixels and units, and what is left of it.

`StochasticGate` stands on the pixels and behind each hidden layer of a
perceptron. It multiplies by gates in [0, 1] that are drawn anew for each
image, and adds `weight` times the expected number of open ones to the loss;
those that are worth less close. At inference the gates are fixed, and
`prune_gates` makes a smaller network with the same outputs: units whose gate
is closed are gone, the other gates are part of the kernels.

    python examples/pruned_network.py --out pruned-out
    python examples/pruned_network.py --mnist mnist.npz --out pruned-mnist

Reference:
    Louizos, Welling, Kingma. Learning sparse neural networks through L0
    regularization. ICLR 2018.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, positive
from _digits import Digits, load_digits

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

# For what is not given on the command line.
DEFAULTS: dict[str, dict[str, Any]] = {
    "digits": {
        "hidden": [300, 100],
        "weight": 1e-2,
        "epochs": 150,
        "batch_size": 50,
    },
    "mnist": {
        "hidden": [300, 100],
        "weight": 5e-4,
        "epochs": 10,
        "batch_size": 100,
    },
}


class Data(NamedTuple):
    """Grey levels in rows, in [0, 1], and labels."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


def main(argv: list[str] | None = None) -> tuple[float, float]:
    """Trains and prunes; returns the test accuracies before and after."""
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    data = load_data(args.mnist)
    args.out.mkdir(parents=True, exist_ok=True)
    model = make_model(data.x_train.shape[1], args)
    history = fit(model, data, args)

    smaller = tg.prune_gates(model)
    before, after = (accuracy(m, data) for m in (model, smaller))
    gates = [x for x in model.layers if isinstance(x, tg.StochasticGate)]
    opened = [len(gate.open_gates()) for gate in gates]
    sizes = [data.x_train.shape[1], *args.hidden]
    names = ["pixels", *(f"units, layer {i + 1}" for i in range(len(opened)))]
    for name, left, size in zip(names, opened, sizes, strict=False):
        print(f"{name:16}{left:>7} of {size}")
    left, size = weights_used(smaller, opened[0]), weights_used(model, sizes[0])
    print(f"{'parameters':16}{left:>7} of {size}")
    print(f"test accuracy {before:.4f}, pruned {after:.4f}")
    smaller.save(args.out / "pruned.keras")
    plot(args.out / "pruned.png", history, gates, sizes, data)
    print(f"Wrote {args.out}: " + ", ".join(sorted(os.listdir(args.out))))
    return before, after


def load_data(mnist: Any) -> Data:
    """The digits of `load_digits`, in rows."""
    train, test = (
        Digits(images.reshape(len(images), -1), labels)
        for images, labels in load_digits(mnist)
    )
    return Data(*train, *test)


# Model --------------------------------------------------------------------


def make_model(pixels: int, args: argparse.Namespace) -> keras.Sequential:
    """A perceptron with gates on its inputs and behind each hidden layer."""
    model = keras.Sequential([keras.Input((pixels,)), make_gate(args.weight)])
    for units in args.hidden:
        model.add(keras.layers.Dense(units, activation="relu"))
        model.add(make_gate(args.weight))
    model.add(keras.layers.Dense(10))
    return model


def make_gate(weight: float) -> tg.StochasticGate:
    """Gates that are open to begin with, more likely than not."""
    start = keras.initializers.RandomNormal(2.0, 0.01)
    return tg.StochasticGate(weight=weight, initializer=start)


def fit(
    model: keras.Sequential, data: Data, args: argparse.Namespace
) -> list[list[int]]:
    """Trains; returns how many gates were open after each epoch."""
    model.compile(
        keras.optimizers.Adam(args.learning_rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    counts: list[list[int]] = []

    def count(epoch: int, logs: Any) -> None:
        gates = [x for x in model.layers if isinstance(x, tg.StochasticGate)]
        counts.append([len(gate.open_gates()) for gate in gates])

    model.fit(
        data.x_train,
        data.y_train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=count)],
        verbose=args.verbose,
    )
    return counts


def accuracy(model: keras.Model, data: Data) -> float:
    """On the test data."""
    logits = model.predict(data.x_test, batch_size=1000, verbose=0)
    return float(np.mean(np.argmax(logits, axis=1) == data.y_test))


def weights_used(model: keras.Model, inputs: int) -> int:
    """Weights of the Dense layers, of so many inputs."""
    dense = [x for x in model.layers if isinstance(x, keras.layers.Dense)]
    unused = (dense[0].kernel.shape[0] - inputs) * dense[0].units
    return sum(layer.count_params() for layer in dense) - unused


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path,
    history: list[list[int]],
    gates: list[tg.StochasticGate],
    sizes: list[int],
    data: Data,
) -> None:
    """Open gates by epoch; the pixels that are read, beside a mean digit."""
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(11, 3.6), layout="constrained"
    )
    epochs = np.arange(1, len(history) + 1)
    for index, size in enumerate(sizes):
        name = f"{size} pixels" if index == 0 else f"{size} units"
        shares = np.array(history)[:, index] / size
        left.plot(epochs, shares, label=name)
    left.set(xlabel="epoch", ylabel="share of open gates", ylim=(0, 1.05))
    left.legend()
    side = int(np.sqrt(sizes[0]))
    mean = data.x_test.mean(axis=0).reshape(side, side)
    middle.imshow(mean, "gray_r")
    middle.set_title("mean image")
    read = gates[0].fixed_gates().reshape(side, side)
    right.imshow(read, "gray_r", vmin=0, vmax=1)
    right.set_title("gates of the pixels")
    for axes in (middle, right):
        axes.set(xticks=[], yticks=[])
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A perceptron that sheds pixels and units.",
        out="pruned-out",
        verbose=0,
        presets=DEFAULTS,
    )
    add = parser.add_argument
    parser.add_mnist()
    help = "units of the hidden layers"
    add("--hidden", type=integer(), nargs="+", help=help)
    add("--weight", type=positive, help="cost of an open gate, in nats")
    add("--epochs", type=integer(), help="passes over the data")
    add("--batch-size", type=integer(), help="images in a step")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=2e-3, help=help)
    args = parser.parse_args(argv)
    return args


if __name__ == "__main__":
    main()
