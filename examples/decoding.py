"""A writer of English, rewarded for what it has written.

A recurrent network writes letter after letter, each drawn from logits that
depend on those before. It learned this from a text that comes with Python,
`pydoc_data.topics`, one letter at a time and always after a faultless
beginning (teacher forcing). Left alone it reads its own mistakes and makes
more. So it is trained further, on whole samples of its own: it continues the
beginnings of sentences and pays, at step t,

    c_t = 1 - [the last four letters occur ten times in the text]
          + the number of times the last six were written before,

the latter lest it repeats what is safe. (And, with a small weight, for being
sure of its next letter, lest it has but one thing to say.) The cost is a
polynomial of the one-hot letters, so that it has a derivative too, and the same
writer can learn by

- `scst`: the score function. `ReinforceSampler` stands in the cell of a
  `keras.layers.RNN`, in a `StochasticModel`; its baseline is what the greedy
  continuation of the same beginning costs (self-critical sequence training).
  A letter is credited with the costs of its own step and of later ones,
  `credit="to_go"`; in `scst_example` with the whole, `credit="example"`;
- `gumbel_softmax`: relaxed letters, through the loop and the cost;
- `straight_through`: exact letters with the gradient of relaxed ones.

Before, the variance of the gradient of the writer's weights is measured for
both kinds of credit, with and without the baseline (`GradientStatistics`). All
are judged alike: by exact samples, from beginnings that are new to them. The
share of different words among those written shows what is lost: the surest way
to make no mistake is to write the same again and again.

    python examples/decoding.py --out decoding-out

Reference:
    Rennie, Marcheret, Mroueh, Ross, Goel. Self-critical sequence training for
    image captioning. CVPR 2017.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import pydoc_data.topics
import re
import time
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import matplotlib
import numpy as np
from _arguments import Parser, integer, number, positive
from keras import ops

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

ALPHABET = "abcdefghijklmnopqrstuvwxyz "
LETTERS = len(ALPHABET)
READ = 24  # Letters of a beginning.
KNOWN, AGAIN = 4, 6  # Letters that must occur; that must not occur twice.
# Of each way to learn: what draws the letters.
WAYS: dict[str, Any] = {
    "scst": lambda args: tg.ReinforceSampler(
        baseline=keras.layers.Identity(),
        credit="to_go",
        inference="sample",
    ),
    "scst_example": lambda args: tg.ReinforceSampler(
        baseline=keras.layers.Identity(), inference="sample"
    ),
    "gumbel_softmax": lambda args: tg.GumbelSoftmax(
        args.temperature, inference="sample"
    ),
    "straight_through": lambda args: tg.GumbelSoftmax(
        args.temperature, hard=True, inference="sample"
    ),
}


class Text(NamedTuple):
    """Letters as numbers: to learn from, and the last tenth for the test."""

    train: np.ndarray
    test: np.ndarray


class Score(NamedTuple):
    """Of exact samples: cost of a letter; share of different words."""

    cost: float
    different: float


def main(argv: list[str] | None = None) -> dict[str, Score]:
    """Trains in every way; returns the scores, before and after."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    text = load_text()
    writer = Writer(args.hidden)
    cost = Cost(text.train, args.curiosity, args.often)
    start = time.process_time()
    pretrain(writer, text, args)
    learned = writer.get_weights()
    seconds = time.process_time() - start
    random = np.random.default_rng(args.seed)
    train, test = (
        beginnings(part, count, random)
        for part, count in zip(text, (args.prompts, 256), strict=True)
    )
    compare_variances(writer, cost, train, args)

    print(f"\n{'':18}{'cost':>7}{'different words':>17}{'seconds':>9}")
    really = beginnings(text.test, 256, random, READ + args.length)
    scores = {"the text": score(cost, really[:, READ - 3 :])}
    show("the text", scores["the text"])
    model = continuation(writer, "scst", cost, args)
    written = {"before": write(model, test)}
    scores["before"] = score(cost, written["before"])
    show("before", scores["before"], seconds)
    curves = {}
    for way in args.ways:
        start = time.process_time()
        writer.set_weights(learned)
        model = continuation(writer, way, cost, args)
        curves[way] = fit(model, cost, train, test, args)
        written[way] = write(model, test)
        scores[way] = score(cost, written[way])
        show(way, scores[way], time.process_time() - start)
    print_samples(test, written)
    plot(args.out / "decoding.png", curves, scores)
    print(f"Wrote {args.out / 'decoding.png'}")
    return scores


# Text ---------------------------------------------------------------------


def load_text() -> Text:
    """What `help()` knows of the language, in 27 letters."""
    text = "\n".join(pydoc_data.topics.topics.values())
    words = re.sub(r"[^a-z]+", " ", text.lower().replace("'", ""))
    letters = np.array([ALPHABET.index(c) for c in words])
    cut = len(letters) * 9 // 10
    return Text(letters[:cut], letters[cut:])


def beginnings(
    text: np.ndarray,
    count: int,
    random: np.random.Generator,
    length: int = READ,
) -> np.ndarray:
    """Pieces of the text that begin with a word, `[count, length]`."""
    starts = np.flatnonzero(text[: -length - 1] == LETTERS - 1) + 1
    chosen = random.choice(starts, count, replace=count > len(starts))
    return text[chosen[:, None] + np.arange(length)]


def as_string(letters: np.ndarray) -> str:
    return "".join(ALPHABET[i] for i in letters)


# Cost ---------------------------------------------------------------------


class Cost(keras.losses.Loss):
    """The cost of every letter, `[B, T]`.

    Of the one-hot letters that were written, with the negative entropy of what
    they were drawn from behind each, `[B, T, 28]`; the target are the three
    letters that stood before them, `[B, 3, 27]`.

    Args:
        text: The letters in which four are to be found.
        curiosity: Weight of the entropy.
        often: How often they must be found.
    """

    def __init__(
        self, text: np.ndarray, curiosity: float, often: int = 1
    ) -> None:
        super().__init__(name="cost")
        self.curiosity = curiosity
        table = np.zeros([LETTERS] * KNOWN, "float32")
        fours = [text[i : len(text) - KNOWN + 1 + i] for i in range(KNOWN)]
        np.add.at(table, tuple(fours), 1.0)
        table = (table >= often).astype("float32")
        # The first two of the four, and the last two.
        self.table = table.reshape(LETTERS**2, LETTERS**2)

    def call(self, y_true, y_pred):
        """Faults, and certainty."""
        letters, certainty = y_pred[..., :LETTERS], y_pred[..., LETTERS]
        return self.faults(y_true, letters) + self.curiosity * certainty

    def faults(self, before, letters):
        """Of exact letters a number, of others a polynomial, `[B, T]`."""
        letters = ops.concatenate([ops.cast(before, "float32"), letters], 1)
        return 1.0 - self.known(letters) + self.again(letters)

    def known(self, letters):
        """Whether four letters, up to each that was written, occur."""
        pairs = letters[:, :-1, :, None] * letters[:, 1:, None, :]
        pairs = ops.reshape(pairs, (-1, pairs.shape[1], LETTERS**2))
        first, last = pairs[:, :-2], pairs[:, 2:]
        return ops.sum(ops.matmul(first, self.table) * last, axis=-1)

    def again(self, letters):
        """How often the last six letters were there before."""
        same = ops.matmul(letters, ops.transpose(letters, (0, 2, 1)))
        count = letters.shape[1] - AGAIN + 1
        runs = 1.0
        for i in range(AGAIN):
            runs *= same[:, i : i + count, i : i + count]
        earlier = np.tril(np.ones((count, count), "float32"), -1)
        again = ops.sum(runs * earlier, axis=-1)
        return ops.pad(again, ((0, 0), (AGAIN - KNOWN, 0)))


def score(cost: Cost, letters: np.ndarray) -> Score:
    """Of letters `[N, 3 + T]`, the first three of which were given."""
    z = np.eye(LETTERS, dtype="float32")[letters]
    costs = np.asarray(cost.faults(z[:, :3], z[:, 3:]))
    words = [w for row in letters for w in as_string(row[3:]).split()[1:-1]]
    return Score(float(costs.mean()), len(set(words)) / max(1, len(words)))


# Writer -------------------------------------------------------------------


class Writer(keras.layers.Layer):
    """The weights: from the state and the last letter to logits."""

    def __init__(self, hidden: int) -> None:
        super().__init__(name="writer")
        self.hidden = hidden
        self.memory = keras.layers.GRUCell(hidden)
        self.read = keras.layers.RNN(
            self.memory, return_sequences=True, return_state=True
        )
        self.logits = keras.layers.Dense(LETTERS)

    def build(self, shape):
        self.read.build(shape)
        self.logits.build((None, self.hidden))
        self.built = True

    def call(self, letters):
        """After each letter `[B, T, 27]` logits of the next; the state."""
        states, state = self.read(letters)
        return self.logits(states), state

    def step(self, letter, state):
        """Logits after one more letter `[B, 27]`, and the state."""
        state, _ = self.memory(letter, [state])
        return self.logits(state), state


class Pen(keras.layers.Layer):
    """A cell that writes the next letter, and how sure it was of it.

    Args:
        writer: The weights.
        sampler: What draws; `None` takes the likeliest.
        **options: As in `keras.layers.Layer`.
    """

    def __init__(self, writer: Writer, sampler: Any, **options: Any) -> None:
        super().__init__(**options)
        self.state_size = [LETTERS, writer.hidden]
        self.output_size = LETTERS + 1
        self.writer, self.sampler = writer, sampler

    def build(self, shape):
        if isinstance(self.sampler, tg.ReinforceSampler):
            self.sampler.build((None, LETTERS), shape)
        elif self.sampler is not None:
            self.sampler.build((None, LETTERS))
        self.built = True

    def call(self, expected, states, training=None):
        """Draws, with the expected cost for a baseline."""
        logits, state = self.writer.step(*states)
        if self.sampler is None:
            z = ops.one_hot(ops.argmax(logits, axis=-1), LETTERS)
        elif isinstance(self.sampler, tg.ReinforceSampler):
            z = self.sampler(logits, expected, training=training)
        else:
            z = self.sampler(logits, training=training)
        log_p = ops.log_softmax(logits)
        certainty = ops.sum(ops.exp(log_p) * log_p, axis=-1, keepdims=True)
        return ops.concatenate([z, certainty], axis=-1), [z, state]


def continuation(
    writer: Writer, way: str | Any, cost: Cost, args: argparse.Namespace
) -> keras.Model:
    """From beginnings `[B, READ]` to letters and certainty `[B, T, 28]`.

    Args:
        writer: The weights.
        way: A name in `WAYS`, or a sampler.
        cost: What is descended.
        args: As parsed.
    """
    sampler = WAYS[way](args) if isinstance(way, str) else way
    prompt = keras.Input((READ,), dtype="int32")
    letters = ops.one_hot(prompt, LETTERS)
    _, state = writer(letters[:, :-1])
    states = [letters[:, -1], state]
    expected = ops.zeros_like(letters[:, :1, :1])
    expected = ops.repeat(expected, args.length, axis=1)
    if getattr(sampler, "baseline", None) is not None:
        greedy = Pen(writer, None, name="greedy")
        z = keras.layers.RNN(greedy, return_sequences=True)(
            expected, initial_state=states
        )
        costs = Known(cost, sampler.credit)(letters[:, -3:], z)
        expected = costs[:, :, None]
    pen = Pen(writer, sampler, name="pen")
    z = keras.layers.RNN(pen, return_sequences=True)(
        expected, initial_state=states
    )
    model = tg.StochasticModel(prompt, z)
    # One large step of XLA would take longer to compile than to train.
    model.compile(
        keras.optimizers.Adam(args.learning_rate, global_clipnorm=1.0),
        cost,
        jit_compile=False,
    )
    return model


class Known(keras.layers.Layer):
    """What the greedy letters cost, `[B, T]`: what a sample is compared with.

    Per step, since that is what the model brings to the sampler: the mean over
    the steps from each one on, with `credit="to_go"`, or over all.
    """

    def __init__(self, cost: Cost, credit: str) -> None:
        super().__init__()
        self.cost, self.credit = cost, credit

    def call(self, before, letters):
        costs = ops.stop_gradient(
            self.cost.faults(before, letters[..., :LETTERS])
        )
        if self.credit == "example":
            return ops.ones_like(costs) * ops.mean(costs, 1, keepdims=True)
        left = np.arange(costs.shape[1], 0, -1, dtype="float32")
        return tg.ops.cost_to_go(costs) / left

    def compute_output_shape(self, before_shape, letters_shape):
        return letters_shape[:2]


def write(model: keras.Model, prompts: np.ndarray) -> np.ndarray:
    """The last three letters of each beginning, and an exact sample."""
    z = model.predict(prompts, batch_size=256, verbose=0)
    letters = np.argmax(z[..., :LETTERS], axis=-1)
    return np.concatenate([prompts[:, -3:], letters], axis=1)


# Training -----------------------------------------------------------------


def pretrain(writer: Writer, text: Text, args: argparse.Namespace) -> None:
    """Learns to predict the next letter of the text itself."""
    letters = keras.Input((None,), dtype="int32")
    logits, _ = writer(ops.one_hot(letters, LETTERS))
    model = keras.Model(letters, logits)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                4e-3, args.epochs * (len(text.train) // 65 // 64)
            )
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )

    def pieces(part):
        return part[: len(part) // 65 * 65].reshape(-1, 65)

    train, test = pieces(text.train), pieces(text.test)
    model.fit(
        train[:, :-1],
        train[:, 1:],
        batch_size=64,
        epochs=args.epochs,
        verbose=args.verbose,
    )
    nats = model.evaluate(test[:, :-1], test[:, 1:], verbose=0)
    print(f"Reading, it is wrong by {nats:.3f} nats a letter.", flush=True)


def compare_variances(
    writer: Writer, cost: Cost, prompts: np.ndarray, args: argparse.Namespace
) -> dict[tuple[str, str], float]:
    """Prints the variance of the gradient, by credit and baseline."""
    x = prompts[: args.batch_size]
    data = (x, np.eye(LETTERS, dtype="float32")[x[:, -3:]])
    print(f"{'gradient variance':18}{'no baseline':>13}{'greedy':>9}")
    found = {}
    for credit in ("example", "to_go"):
        for name in ("none", "greedy"):
            baseline = None if name == "none" else keras.layers.Identity()
            sampler = tg.ReinforceSampler(baseline=baseline, credit=credit)
            statistics = tg.GradientStatistics(
                ["writer"], data=data, samples=args.gradients
            )
            statistics.set_model(continuation(writer, sampler, cost, args))
            measured = statistics.measure()
            found[credit, name] = measured["gradient_variance/writer"]
        print(
            f"{credit:18}{found[credit, 'none']:>13.2e}"
            f"{found[credit, 'greedy']:>9.2e}",
            flush=True,
        )
    return found


def fit(
    model: keras.Model,
    cost: Cost,
    train: np.ndarray,
    test: np.ndarray,
    args: argparse.Namespace,
) -> list[float]:
    """Trains; returns the costs of exact samples, after every pass."""
    costs = [score(cost, write(model, test)).cost]
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: costs.append(
            score(cost, write(model, test)).cost
        )
    )
    model.fit(
        train,
        np.eye(LETTERS, dtype="float32")[train[:, -3:]],
        batch_size=args.batch_size,
        epochs=args.passes,
        callbacks=[watch],
        verbose=args.verbose,
    )
    return costs


# Output -------------------------------------------------------------------


def show(name: str, score: Score, seconds: float | None = None) -> None:
    took = "" if seconds is None else f"{seconds:>9.0f}"
    print(
        f"{name:18}{score.cost:>7.3f}{score.different:>17.1%}{took}", flush=True
    )


def print_samples(
    prompts: np.ndarray, written: dict[str, np.ndarray], count: int = 3
) -> None:
    """What was made of the first beginnings, by each writer."""
    for i, prompt in enumerate(prompts[:count]):
        print(f"\n{as_string(prompt)} ...")
        for name, letters in written.items():
            print(f"  {name:18}{as_string(letters[i, 3:])}")


def plot(
    path: pathlib.Path,
    curves: dict[str, list[float]],
    scores: dict[str, Score],
) -> None:
    """The reward, 1 - cost, of exact samples while they learn."""
    figure, axis = plt.subplots(figsize=(7, 4), layout="constrained")
    for way, costs in curves.items():
        axis.plot(1.0 - np.array(costs), ".-", label=way)
    real = 1.0 - scores["the text"].cost
    axis.axhline(real, color="0.5", ls="--", label="the text itself")
    axis.set(xlabel="passes over the beginnings", ylabel="reward of a letter")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(
        "A writer of English, trained by a reward of what it writes.",
        out="decoding-out",
        verbose=0,
    )
    add = parser.add_argument
    add(
        "--ways",
        nargs="+",
        choices=WAYS,
        default=["scst", "gumbel_softmax", "straight_through"],
        help="to train it further",
    )
    add("--hidden", type=integer(), default=192, help="units of the memory")
    help = "passes over the text before"
    add("--epochs", type=integer(), default=4, help=help)
    help = "letters that are written, T"
    add("--length", type=integer(8, 200), default=32, help=help)
    add("--prompts", type=integer(2), default=1280, help="beginnings")
    add("--passes", type=integer(), default=10, help="over the beginnings")
    help = "beginnings in a step"
    add("--batch-size", type=integer(2), default=64, help=help)
    add("--learning-rate", type=positive, default=5e-4, help="of Adam")
    help = "how often four letters occur that are not a fault"
    add("--often", type=integer(), default=10, help=help)
    help = "weight of the entropy in the cost"
    add("--curiosity", type=number(), default=0.1, help=help)
    help = "τ of the relaxed letters"
    add("--temperature", type=positive, default=0.5, help=help)
    help = "gradients from which a variance is estimated"
    add("--gradients", type=integer(2), default=20, help=help)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
