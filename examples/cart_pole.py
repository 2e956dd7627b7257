"""An agent learns to balance a pole: REINFORCE with a learned baseline.

CartPole-v1 of `gymnasium`: a pole stands on a cart that can be pushed to the
left or to the right. Each step that it stays up is worth 1; an episode is over
when it falls, or after 500 steps. The policy, a small network, gives the logits
of the two pushes from the four numbers of the state, and what a push leads to
is computed by a simulator that has no derivative. The score function needs
none:

    ∇ E[Σ_t c_t] = E[Σ_t (g_t - b(s_t)) ∇ log q(a_t|s_t)],

where g_t is the cost from step t on, for a push cannot change what was before
it (`ops.cost_to_go`, here with a discount), and b predicts it from the state.
This is a training loop of its own, without `fit`:

- `ReinforceSampler(return_log_prob=True)` pushes while episodes are played;
- `ScoreFunctionCost(baseline=...)` joins costs and log-probabilities, and its
  backward pass trains policy and baseline together. The baseline is also told
  how late it is, since the clock ends an episode; the policy is not.

Each seed is trained until its last 100 episodes had a mean return of 475, which
counts as solved, and is then tested with the more likely push at every step in
100 new episodes.

    pip install gymnasium
    python examples/cart_pole.py --out pole-out
    python examples/cart_pole.py --seeds 1 --baseline none

Reference:
    Williams. Simple statistical gradient-following algorithms for
    connectionist reinforcement learning. Machine Learning 8, 1992.
    Barto, Sutton, Anderson. Neuronlike adaptive elements that can solve
    difficult learning control problems. IEEE SMC 13, 1983.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import time
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import gymnasium
import keras
import matplotlib
import numpy as np
import tensorflow as tf
from _arguments import Parser, integer, number, positive

import tfgumbel as tg

matplotlib.use("Agg")
import matplotlib.pyplot as plt

LONGEST = 500  # Steps of an episode; the best return.
SOLVED = 475.0


class Episodes(NamedTuple):
    """Steps of B episodes, one after the other in time, `[B, T, ...]`.

    What comes after the end of an episode is not `played`.
    """

    states: np.ndarray
    actions: np.ndarray
    played: np.ndarray


class Score(NamedTuple):
    """Episodes played until solved, if it was; the mean return of the test."""

    episodes: int | None
    test: float


def main(argv: list[str] | None = None) -> list[Score]:
    """Trains an agent for each seed; returns the scores."""
    args = parse(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    scores, histories = [], []
    print(f"{'seed':>4}{'solved after':>20}{'test return':>13}{'seconds':>9}")
    for seed in range(args.seed, args.seed + args.seeds):
        start = time.process_time()
        agent = Agent(seed, args)
        returns, solved = train(agent, seed, args)
        test = np.mean(lengths(play(agent.best, args.episodes, 10**6 + seed)))
        seconds = time.process_time() - start
        scores.append(Score(len(returns) if solved else None, float(test)))
        histories.append(returns)
        after = f"{len(returns)} episodes" if solved else "not solved"
        print(f"{seed:>4}{after:>20}{test:>13.1f}{seconds:>9.0f}", flush=True)
    count = sum(score.test >= SOLVED for score in scores)
    print(f"{count} of {len(scores)} seeds have {SOLVED:.0f} in the test.")
    plot(args.out / "pole.png", histories, args.seed)
    print(f"Wrote {args.out / 'pole.png'}")
    return scores


# Agent --------------------------------------------------------------------


class Agent:
    """A policy, and what trains it.

    Args:
        seed: Of weights and noise.
        args: As parsed.
    """

    def __init__(self, seed: int, args: argparse.Namespace) -> None:
        keras.utils.set_random_seed(seed)
        self.policy = perceptron(4, args.hidden, 2)
        self.sampler = tg.ReinforceSampler(return_log_prob=True)
        baselines = {
            "none": lambda: None,
            "moving-average": lambda: "moving_average",
            "learned": lambda: perceptron(5, args.hidden, 1),
        }
        self.cost = tg.ScoreFunctionCost(baselines[args.baseline]())
        self.cost.build((None,), (None,), (None, 5))
        self.discount = args.discount
        self.weights = (
            self.policy.trainable_variables + self.cost.trainable_variables
        )
        self.optimizer = keras.optimizers.Adam(
            args.learning_rate, global_clipnorm=1.0
        )
        self.optimizer.build(self.weights)

    @tf.function(reduce_retracing=True)
    def draw(self, states):
        """Pushes `[B, 2]`, one-hot, as the policy draws them."""
        return self.sampler(self.policy(states), training=True)[0]

    @tf.function(reduce_retracing=True)
    def best(self, states):
        """The more likely pushes, `[B, 2]`, one-hot."""
        return self.sampler(self.policy(states), training=False)[0]

    def learn(self, episodes: Episodes) -> None:
        """One step of the optimizer."""
        played = episodes.played
        to_go = tg.ops.cost_to_go(
            # One hundred steps, the most that a discount of 0.99 lets count,
            # have a cost of -1.
            np.where(played, -0.01, 0.0).astype("float32"),
            discount=self.discount,
        )
        clock = np.broadcast_to(np.arange(played.shape[1]), played.shape)
        self.update(
            episodes.states[played],
            episodes.actions[played],
            clock[played].astype("float32") / LONGEST,
            to_go[played],
        )

    @tf.function(reduce_retracing=True)
    def update(self, states, actions, clock, to_go):
        """Descends the cost of N steps, whichever episodes they are of."""
        categorical = tg.distributions.get("categorical")
        context = tf.concat([states, clock[:, None]], axis=1)
        with tf.GradientTape() as tape:
            parameters = categorical.constrain(self.policy(states))
            log_prob = categorical.log_prob(parameters, actions)
            cost = self.cost(to_go, log_prob, context, training=True)
            loss = tf.reduce_mean(cost)
        gradients = tape.gradient(loss, self.weights)
        self.optimizer.apply(gradients, self.weights)


def perceptron(inputs: int, hidden: int, outputs: int) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((inputs,)),
            keras.layers.Dense(hidden, activation="tanh"),
            keras.layers.Dense(outputs),
        ]
    )


# Episodes -----------------------------------------------------------------


def play(act, episodes: int, seed: int) -> Episodes:
    """Plays episodes side by side, until the last of them is over.

    Args:
        act: From states `[B, 4]` to pushes `[B, 2]`, one-hot.
        episodes: B.
        seed: Of the first states.
    """
    poles = gymnasium.make_vec("CartPole-v1", num_envs=episodes)
    state, _ = poles.reset(seed=seed)
    playing = np.ones(episodes, bool)
    states, actions, played = [], [], []
    while playing.any():
        action = np.array(act(state))
        states.append(state)
        actions.append(action)
        played.append(playing)
        state, _, fell, late, _ = poles.step(np.argmax(action, axis=-1))
        # Poles that fell are put up again; their steps do not count.
        playing = playing & ~(fell | late)
    poles.close()
    return Episodes(
        *(np.stack(each, axis=1) for each in (states, actions, played))
    )


def lengths(episodes: Episodes) -> np.ndarray:
    """How many steps the poles stayed up: the returns, `[B]`."""
    return np.sum(episodes.played, axis=1)


def train(
    agent: Agent, seed: int, args: argparse.Namespace
) -> tuple[list[int], bool]:
    """Plays and learns; returns the returns, and whether it was solved."""
    returns: list[int] = []
    for step in range(args.updates):
        episodes = play(agent.draw, args.batch_size, args.updates * seed + step)
        returns.extend(lengths(episodes).tolist())
        if len(returns) >= 100 and np.mean(returns[-100:]) >= SOLVED:
            return returns, True
        agent.learn(episodes)
    return returns, False


# Picture ------------------------------------------------------------------


def plot(
    path: pathlib.Path, histories: list[list[int]], first_seed: int
) -> None:
    """Returns of the episodes, and their running means over 100."""
    figure, axis = plt.subplots(figsize=(7.5, 4), layout="constrained")
    for i, returns in enumerate(histories):
        episodes = np.arange(1, len(returns) + 1)
        axis.plot(episodes, returns, ".", color=f"C{i}", ms=2, alpha=0.2)
        if len(returns) >= 100:
            means = np.convolve(returns, np.ones(100) / 100, "valid")
            label = f"seed {first_seed + i}"
            axis.plot(episodes[99:], means, color=f"C{i}", label=label)
    axis.axhline(SOLVED, color="0.5", ls="--", label="solved")
    axis.set(xlabel="episode", ylabel="return, and its mean over 100")
    axis.legend(fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser("REINFORCE on CartPole-v1.", out="pole-out")
    add = parser.add_argument
    help = "agents, with seeds from --seed on"
    add("--seeds", type=integer(), default=5, help=help)
    add(
        "--baseline",
        choices=("learned", "moving-average", "none"),
        default="learned",
        help="what is subtracted from the cost",
    )
    help = "steps of the optimizer at the most"
    add("--updates", type=integer(), default=150, help=help)
    help = "episodes for each of them"
    add("--batch-size", type=integer(), default=16, help=help)
    add("--episodes", type=integer(), default=100, help="of the test")
    help = "factor by which a cost counts less a step later"
    add("--discount", type=number(0.5, 1.0), default=0.99, help=help)
    add("--hidden", type=integer(), default=64, help="units of a network")
    add("--learning-rate", type=positive, default=1e-2, help="of Adam")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
