"""The notebook runs from top to bottom, and was saved having run."""

import json

import keras
import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest

from tests.examples.loading import FOLDER

pytestmark = pytest.mark.usefixtures("without_xla")

CELLS = json.loads((FOLDER / "tour.ipynb").read_text(encoding="utf-8"))["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


def test_it_was_saved_having_run():
    assert [cell["execution_count"] for cell in CODE] == [
        *range(1, len(CODE) + 1)
    ]
    outputs = [output for cell in CODE for output in cell["outputs"]]
    kinds = {output["output_type"] for output in outputs}
    assert kinds == {"stream", "display_data"}
    assert all(output.get("name") != "stderr" for output in outputs)


@pytest.mark.slow
def test_every_cell_runs(capsys):
    matplotlib.use("Agg")
    namespace = {"__name__": "tour"}
    for cell in CODE:
        source = "".join(cell["source"])
        exec(compile(source, "tour.ipynb", "exec"), namespace)
    plt.close("all")
    printed = capsys.readouterr().out
    # What does not depend on noise is as it was saved.
    for line in ("1797 digits", "healthy: 100% in use", "draw: True"):
        assert line in printed
    stored = "".join(
        text
        for cell in CODE
        for output in cell["outputs"]
        for text in output.get("text", [])
    )
    assert "draw: True" in stored
    assert namespace["history"].history["loss"][-1] < 0.5
    # The last model trained pays less because it is right.
    answer = keras.Model(namespace["pixels"], namespace["logits"])
    found = np.argmax(answer(namespace["images"]), axis=-1)
    assert np.mean(found == namespace["digits"].target) > 0.5
    keras.utils.clear_session()
