"""The topic model learns, and draws its topics."""

import re

import pytest

from tests.examples.loading import load

dirichlet_topics = load("dirichlet_topics")


@pytest.mark.exhaustive
def test_a_short_run_learns_topics(tmp_path, capsys):
    found = dirichlet_topics.main(
        [
            f"--out={tmp_path}",
            "--epochs=6",
            "--lda-iterations=2",
            "--samples=2",
            "--verbose=0",
        ]
    )
    printed = capsys.readouterr().out
    untrained = float(re.search(r"untrained: (\S+)", printed)[1])
    assert 60 < untrained < 75  # 64 words, of which nothing is known.
    assert found < 52
    assert re.search(r"scikit-learn's LDA: perplexity \d+", printed)
    assert (tmp_path / "topics.png").stat().st_size > 10_000
