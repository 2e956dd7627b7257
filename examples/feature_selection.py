"""Which five measurements of a cell tell a malignant tumour from a benign one?

scikit-learn's breast-cancer data holds 30 features of 569 tumours. A
`ConcreteSelector` stands in front of a small classifier and learns, together
with it, which k of them to keep (Balın, Abid and Zou 2019). Each of its k
nodes holds logits over all features; in training it passes on a random blend
of them,

    u_j = Σ_i m_ji x_i,  m_j = softmax((logits_j + G) / τ),

and as the temperature τ falls from 10 to 0.05 the blend turns into a choice.
Where another selection would train a classifier for each candidate subset,
this one takes one run of gradient descent. (Its default settings were chosen
by cross-validation within the training data.)

A choice is worth no more than what it is compared with. A logistic regression
is fitted on the training data with the kept features, with many random
subsets of as many features, and with all 30; each is judged on the test data,
which neither the selection nor the fits have seen.

    python examples/feature_selection.py --out selection-out

Reference:
    Balın, Abid, Zou. Concrete autoencoders: differentiable feature selection
    and reconstruction. ICML 2019.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, check_annealing, integer, positive
from sklearn.datasets import load_breast_cancer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt


class Data(NamedTuple):
    """Standardised features `[N, d]` and labels `[N]`, 1 for malignant."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    names: np.ndarray


class Score(NamedTuple):
    """On the test data; the cross-entropy is in nats."""

    accuracy: float
    cross_entropy: float


def main(argv: list[str] | None = None) -> list[str]:
    """Selects, compares, writes the files; returns the features' names."""
    args = parse(argv)
    keras.utils.set_random_seed(args.seed)
    data = load_data()
    args.out.mkdir(parents=True, exist_ok=True)

    selector = tg.ConcreteSelector(args.features, name="selector")
    model = make_model(selector, data, args.learning_rate)
    watcher = SelectionWatcher(selector)
    steps = args.epochs * -(-len(data.x_train) // args.batch_size)
    model.fit(
        data.x_train,
        data.y_train,
        batch_size=args.batch_size,
        epochs=args.epochs,
        callbacks=[make_annealing(args, steps), watcher],
        verbose=args.verbose,
    )
    # Two nodes may have chosen the same feature.
    kept = np.unique(selector.selected)
    print(f"kept {len(kept)} of {len(data.names)} features:")
    for name in data.names[kept]:
        print(f"  {name}")

    chosen = fit_and_score(data, kept)
    every = fit_and_score(data, np.arange(len(data.names)))
    chance = random_subsets(data, len(kept), args.subsets, args.seed)
    report(chosen, chance, every)
    model.save(args.out / "model.keras")
    plot(args.out / "selection.png", data, selector, watcher, kept)
    plot_scores(args.out / "scores.png", chosen, chance, every, len(kept))
    print(f"Wrote {args.out}: " + ", ".join(sorted(os.listdir(args.out))))
    return list(data.names[kept])


# Data ---------------------------------------------------------------------


def load_data() -> Data:
    """A fixed split, 399 to 170, standardised by the training data."""
    bunch = load_breast_cancer()
    order = np.random.default_rng(0).permutation(len(bunch.data))
    test, train = order[:170], order[170:]
    mean, scale = bunch.data[train].mean(0), bunch.data[train].std(0)
    x = ((bunch.data - mean) / scale).astype("float32")
    y = 1.0 - bunch.target.astype("float32")
    return Data(x[train], y[train], x[test], y[test], bunch.feature_names)


# Model --------------------------------------------------------------------


def make_model(
    selector: tg.ConcreteSelector, data: Data, learning_rate: float
) -> keras.Model:
    """The selector, then a classifier of its k features."""
    model = keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            selector,
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(1),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss=keras.losses.BinaryCrossentropy(from_logits=True),
    )
    return model


def make_annealing(
    args: argparse.Namespace, steps: int
) -> tg.TemperatureScheduler:
    """τ falls by a constant factor, and is at its minimum for the last tenth.

    The last steps let the classifier settle on features that stay.
    """
    schedule = tg.schedules.ExponentialAnnealing.between(
        args.temperature, args.minimum_temperature, steps=-(-9 * steps // 10)
    )
    return tg.TemperatureScheduler(schedule)


class SelectionWatcher(keras.callbacks.Callback):
    """Keeps, for each epoch, temperature and certainty of the selection."""

    def __init__(self, selector: tg.ConcreteSelector) -> None:
        super().__init__()
        self.selector = selector
        self.temperature: list[float] = []
        self.certainty: list[float] = []

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.temperature.append(float(self.selector.temperature))
        self.certainty.append(self.selector.mean_max_probability)


# Comparison ---------------------------------------------------------------


def fit_and_score(data: Data, features: np.ndarray) -> Score:
    """A logistic regression on these features alone."""
    classifier = LogisticRegression(max_iter=1000)
    classifier.fit(data.x_train[:, features], data.y_train)
    p = classifier.predict_proba(data.x_test[:, features])
    hits = (p[:, 1] > 0.5) == (data.y_test > 0.5)
    return Score(float(np.mean(hits)), log_loss(data.y_test, p))


def random_subsets(data: Data, k: int, count: int, seed: int) -> list[Score]:
    """Scores of `count` subsets of k features, uniform over all of them.

    Equal logits: Gumbel top-k draws every subset with the same probability.
    """
    sampler = tg.SubsetSampler(k, inference="sample", seed=seed)
    k_hots = sampler(np.zeros((count, len(data.names)), "float32"))
    return [fit_and_score(data, np.flatnonzero(row)) for row in k_hots]


def report(chosen: Score, chance: list[Score], every: Score) -> None:
    """Prints the table, and how many random subsets are as good."""
    print(f"{'':16}{'test accuracy':>20}{'cross-entropy (nats)':>24}")
    for name, score in (("kept features", chosen), ("all features", every)):
        print(f"{name:16}{score.accuracy:>20.3f}{score.cross_entropy:>24.3f}")
    means = np.mean(chance, axis=0)
    errors = np.std(chance, axis=0, ddof=1) / np.sqrt(len(chance))
    cells = [f"{m:.3f} ± {e:.3f}" for m, e in zip(means, errors, strict=True)]
    print(f"{'random subsets':16}{cells[0]:>20}{cells[1]:>24}")
    better = np.mean([s.cross_entropy < chosen.cross_entropy for s in chance])
    print(
        f"{better:.0%} of {len(chance)} random subsets have a lower "
        "cross-entropy than the kept features"
    )


# Pictures -----------------------------------------------------------------


def plot(
    path: pathlib.Path,
    data: Data,
    selector: tg.ConcreteSelector,
    watcher: SelectionWatcher,
    kept: np.ndarray,
) -> None:
    """The nodes' probabilities; beside them how they came to be."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 6), width_ratios=(1, 1.4), layout="constrained"
    )
    probabilities = keras.ops.softmax(selector.logits)
    image = left.imshow(
        np.transpose(probabilities), cmap="Blues", vmin=0, vmax=1, aspect="auto"
    )
    left.set_yticks(range(len(data.names)), data.names, fontsize=8)
    for i in kept:
        left.get_yticklabels()[i].set_fontweight("bold")
    left.set_xticks(range(selector.k), range(1, selector.k + 1))
    left.set(xlabel="node", title="probability of each feature")
    figure.colorbar(image, ax=left)

    epochs = range(1, 1 + len(watcher.temperature))
    right.plot(epochs, watcher.certainty, color="C0")
    right.set(xlabel="epoch", ylim=(0, 1.02), title="annealing")
    right.set_ylabel("mean of the nodes' largest probability", color="C0")
    twin = right.twinx()
    twin.semilogy(epochs, watcher.temperature, color="C1")
    twin.set_ylabel("temperature τ", color="C1")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def plot_scores(
    path: pathlib.Path, chosen: Score, chance: list[Score], every: Score, k: int
) -> None:
    """The kept features among random subsets."""
    figure, axes = plt.subplots(
        1, 2, figsize=(9, 3.5), sharey=True, layout="constrained"
    )
    titles = ("test accuracy", "test cross-entropy (nats)")
    for i, (axis, title) in enumerate(zip(axes, titles, strict=True)):
        label = f"{len(chance)} random subsets of {k}"
        values = [score[i] for score in chance]
        axis.hist(values, bins=25, color="0.75", label=label)
        axis.axvline(chosen[i], color="C0", lw=2, label=f"kept features, {k}")
        axis.axvline(every[i], color="C1", lw=2, ls="--", label="all features")
        axis.set_xlabel(title)
    axes[0].set_ylabel("random subsets")
    axes[0].yaxis.get_major_locator().set_params(integer=True)
    axes[0].legend(loc="upper left")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "Feature selection by concrete nodes on breast cancer.",
        out="selection-out",
        verbose=0,
    )
    add = parser.add_argument
    help = "k, number of nodes, out of 30 features"
    add("--features", type=integer(1, 30), default=5, help=help)
    add("--epochs", type=integer(), default=100, help="passes over the data")
    add("--batch-size", type=integer(), default=64, help="tumours in a step")
    help = "learning rate of Adam"
    add("--learning-rate", type=positive, default=0.1, help=help)
    add(
        "--temperature",
        type=positive,
        default=10.0,
        help="temperature at the start",
    )
    help = "temperature in the last tenth of the run"
    add("--minimum-temperature", type=positive, default=0.05, help=help)
    help = "random subsets to compare with"
    add("--subsets", type=integer(2), default=100, help=help)
    args = parser.parse_args(argv)
    check_annealing(parser, args)
    return args


if __name__ == "__main__":
    main()
