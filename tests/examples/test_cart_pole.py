"""Episodes are counted to their end, and an agent learns from them."""

import keras
import numpy as np
import pytest

from tests.examples.loading import load

pytest.importorskip("gymnasium")
cart_pole = load("cart_pole")


def test_episodes_are_played_until_the_pole_falls():
    right = np.tile([0.0, 1.0], (5, 1))
    episodes = cart_pole.play(lambda states: right, 5, seed=3)
    returns = cart_pole.lengths(episodes)
    assert returns.min() >= 8 and returns.max() <= 11
    assert episodes.states.shape == (5, returns.max(), 4)
    # Once over, an episode stays over, though its pole is put up again.
    assert not np.any(np.diff(episodes.played.astype(int), axis=1) > 0)
    angles = np.abs(episodes.states[:, :, 2])
    assert np.all(angles[episodes.played] < np.deg2rad(12))


@pytest.mark.full
def test_a_step_makes_what_is_cheaper_more_likely():
    """A push after which the pole stays up longer, from equal states."""
    agent = cart_pole.Agent(0, cart_pole.parse(["--baseline=none"]))
    states = np.zeros((2, 3, 4), "float32")
    actions = np.zeros((2, 3, 2), "float32")
    actions[0, :, 0] = actions[1, :, 1] = 1.0
    played = np.array([[True, True, True], [True, False, False]])
    before = keras.ops.softmax(agent.policy(states[0, :1]))[0, 0]
    agent.learn(cart_pole.Episodes(states, actions, played))
    after = keras.ops.softmax(agent.policy(states[0, :1]))[0, 0]
    assert after > before + 1e-3


@pytest.mark.exhaustive
def test_a_short_run_learns(tmp_path, capsys):
    (score,) = cart_pole.main(
        [f"--out={tmp_path}", "--seeds=1", "--updates=15", "--episodes=20"]
    )
    assert score.episodes is None
    assert score.test > 60  # Random pushes have 22.
    printed = capsys.readouterr().out
    assert "not solved" in printed and f"{score.test:.1f}" in printed
    assert (tmp_path / "pole.png").stat().st_size > 10_000
