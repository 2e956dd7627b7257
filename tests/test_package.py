"""The package as a whole: who imports whom, what is public, what ships."""

import ast
import graphlib
import importlib
import importlib.metadata
import importlib.resources
import inspect
import pathlib
import subprocess
import sys

import pytest

import tfgumbel

PACKAGE = pathlib.Path(tfgumbel.__file__).parent

# Left may be imported by right, never the reverse, never sideways.
FLOORS = (
    ("_startup", "_checks", "_precision", "_saving"),
    ("random", "schedules", "losses", "metrics"),
    ("ops",),
    ("distributions",),
    ("estimators",),
    ("layers", "diagnostics"),
    ("models", "callbacks"),
    ("testing",),
    ("_commands",),
    ("__main__",),
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
OUTSIDE = {"tests", "examples", "benchmarks", "conftest", "pytest"}


def module_name(path, package=PACKAGE):
    parts = (package.name, *path.relative_to(package).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(source, module, is_package):
    """Yields the absolute name of all that `source` imports, at any depth.

    `from a import b` yields `a.b`: whether `b` is a module or a name in `a`,
    both live in the same room, except right under the package's root.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                here = module.split(".")
                up = node.level - 1 if is_package else node.level
                base = here[: len(here) - up] + base
            yield from (".".join([*base, alias.name]) for alias in node.names)


def violations(source, module, is_package=False):
    """Lists the imports in `source` that break the order of the rooms."""
    parts = module.split(".")
    if len(parts) == 1:  # the root re-exports from every room
        return []
    room = parts[1]
    if room not in FLOOR:
        return [f"{module}: add the room {room!r} to FLOORS"]
    found = []
    for target in imported_modules(source, module, is_package):
        top, *rest = target.split(".")
        if top in OUTSIDE:
            found.append(f"{module} imports {target}")
        elif top == parts[0]:
            other = rest[0] if rest else ""
            if other != room and FLOOR.get(other, 99) >= FLOOR[room]:
                found.append(f"{module} imports {target}")
    return found


@pytest.mark.parametrize(
    ("source", "module", "broken"),
    [
        ("from ..ops import gumbel", "tfgumbel.layers.a", False),
        ("from .. import random", "tfgumbel.layers.a", False),
        ("from . import b", "tfgumbel.layers.a", False),
        ("from tfgumbel.random import uniform", "tfgumbel.ops.a", False),
        ("import tfgumbel.random", "tfgumbel.ops.a", False),
        ("import keras", "tfgumbel.ops.a", False),
        ("from ..layers import a", "tfgumbel.ops.a", True),
        ("from .. import layers", "tfgumbel.ops.a", True),
        ("from ..layers.a import A", "tfgumbel.diagnostics.a", True),
        ("def f():\n  import tfgumbel.layers", "tfgumbel.ops.a", True),
        ("from . import schedules", "tfgumbel.random", True),
        ("from tfgumbel import GumbelSoftmax", "tfgumbel.models", True),
        ("import tfgumbel", "tfgumbel.callbacks", True),
        ("from tfgumbel.layers import Draw", "tfgumbel.testing.a", False),
        ("from tfgumbel.testing import Report", "tfgumbel.models", True),
        ("from tests.helpers.cases import CASES", "tfgumbel.ops.a", True),
        ("", "tfgumbel.utils", True),
    ],
)
def test_violations_are_recognised(source, module, broken):
    assert bool(violations(source, module)) == broken


def test_relative_imports_resolve_from_a_package_and_from_a_module():
    source = "from .a import A\nfrom ..ops import b"
    expected = ["tfgumbel.layers.a.A", "tfgumbel.ops.b"]
    for module, is_package in (
        ("tfgumbel.layers", True),
        ("tfgumbel.layers.c", False),
    ):
        assert list(imported_modules(source, module, is_package)) == expected


@pytest.mark.full
def test_rooms_import_in_one_direction():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        found += violations(
            path.read_text(encoding="utf-8"),
            module_name(path),
            is_package=path.name == "__init__.py",
        )
    assert not found, "\n".join(found)


def room_files(room):
    """Modules of a room by name, with their source."""
    base = PACKAGE / room
    paths = sorted(base.rglob("*.py")) if base.is_dir() else []
    return {module_name(path): path for path in paths}


def exported(room):
    """What a room of several files exports, and whether it is a module.

    `None` for a room of a single file.
    """
    if not (PACKAGE / room).is_dir():
        return None
    public = importlib.import_module(f"tfgumbel.{room}")
    return {
        name: inspect.ismodule(getattr(public, name)) for name in public.__all__
    }


def shut_doors(source, module, is_package, exports):
    """Imports from other rooms that do not go through their doors.

    A room exports the names of its `__all__`; another room may import these,
    and modules among them, and nothing from behind.
    """
    room = module.split(".")[1] if "." in module else ""
    found = []
    for target in imported_modules(source, module, is_package):
        top, *rest = target.split(".")
        if top != "tfgumbel" or not room or not rest or rest[0] == room:
            continue
        other, names = rest[0], rest[1:]
        doors = exports(other)
        if doors is None or not names:
            continue
        through = names[0] in doors and (
            len(names) == 1
            or (doors[names[0]] and not names[1].startswith("_"))
        )
        if not through:
            found.append(f"{module} imports {target}")
    return found


@pytest.mark.parametrize(
    ("source", "broken"),
    [
        ("from tfgumbel import ops", False),
        ("from tfgumbel.ops import zgr", False),
        ("from tfgumbel.estimators.algebra import attach", False),
        ("from tfgumbel import _checks", False),
        ("from tfgumbel._checks import axis", False),
        ("from tfgumbel.layers._stochastic import SamplingLayer", False),
        ("from tfgumbel.ops._surrogate import surrogate", True),
        ("from tfgumbel.ops import _surrogate", True),
        ("from tfgumbel.ops.gumbel_top_k import _top_indices", True),
        ("from tfgumbel.estimators.rloo import RLOO", True),
        ("from tfgumbel.ops import nothing", True),
    ],
)
def test_shut_doors_are_recognised(source, broken):
    found = shut_doors(source, "tfgumbel.layers.a", False, exported)
    assert bool(found) == broken


@pytest.mark.full
def test_rooms_are_entered_by_their_doors():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        is_package = path.name == "__init__.py"
        module = module_name(path)
        found += shut_doors(source, module, is_package, exported)
    assert not found, "\n".join(found)


def at_run_time(source):
    """The source without what only a type checker imports."""
    tree = ast.parse(source)
    tree.body = [
        node
        for node in tree.body
        if not (
            isinstance(node, ast.If)
            and ast.unparse(node.test) == "TYPE_CHECKING"
        )
    ]
    return ast.unparse(tree)


def floors(room):
    """How many imports in a row lead down inside a room; circles raise."""
    files = room_files(room)
    files.pop(f"tfgumbel.{room}", None)
    below = {
        name: {
            target.rpartition(".")[0] if target not in files else target
            for target in imported_modules(
                at_run_time(path.read_text(encoding="utf-8")), name, False
            )
        }
        & set(files) - {name}
        for name, path in files.items()
    }
    order = graphlib.TopologicalSorter(below).static_order()
    height = {}
    for name in order:
        height[name] = 1 + max((height[b] for b in below[name]), default=0)
    return max(height.values(), default=0)


ROOMS = [p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_has_no_circles(room):
    assert floors(room) <= 5


def test_estimators_have_at_most_four_floors():
    assert floors("estimators") <= 4


@pytest.mark.full
def test_import_is_light(tmp_path):
    code = (
        "import sys, tfgumbel\n"
        "heavy = {'tensorflow_probability', 'tf_keras'}\n"
        "print(*sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


def test_version_matches_metadata():
    assert tfgumbel.__version__ == importlib.metadata.version("tfgumbel")


def test_type_information_ships():
    assert importlib.resources.files("tfgumbel").joinpath("py.typed").is_file()


@pytest.mark.core
@pytest.mark.parametrize(
    "name", [n for n in tfgumbel.__all__ if not n.startswith("__")]
)
def test_public_name_is_documented_and_lives_in_a_room(name):
    public = getattr(tfgumbel, name)
    inherits = inspect.isclass(public)
    own_docstring = vars(public).get("__doc__") if inherits else public.__doc__
    assert own_docstring and own_docstring.strip()
    if inspect.ismodule(public):
        assert public.__name__ == f"tfgumbel.{name}"
    else:
        room = ".".join(public.__module__.split(".")[:2])
        assert getattr(sys.modules[room], name) is public
