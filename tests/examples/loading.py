"""Imports an example from its file, whatever else is called `examples`."""

import importlib.util
import pathlib
import sys

FOLDER = pathlib.Path(__file__).parents[2] / "examples"


def load(name):
    """The module `examples/<name>.py`."""
    if str(FOLDER) not in sys.path:  # as Python does for a script
        sys.path.append(str(FOLDER))
    path = FOLDER / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"example_{name}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
