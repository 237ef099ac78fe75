"""The rules of the house, held by the repository itself."""

import ast
import inspect
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest

import samestep

ROOT = Path(__file__).parents[1]
CORE = ROOT / "src" / "samestep"
FILES = sorted(CORE.rglob("*.py"))
PAGES = [path for path in FILES if path.parent.name in ("algorithms", "modifiers") and path.name != "__init__.py"]
FRAMEWORKS = {"array_api_strict", "cupy", "dask", "jax", "jaxlib", "keras", "numba", "optax", "tensorflow", "torch"}


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def test_there_are_pages():
    assert {path.parent.name for path in PAGES} == {"algorithms", "modifiers"}


# The public names


def test_all_is_sorted_and_complete():
    names = samestep.__all__
    assert list(names) == sorted(set(names))
    bound = {
        name
        for name, value in vars(samestep).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    public = {name for name in names if not isinstance(getattr(samestep, name), types.ModuleType)}
    assert bound == {name for name in public if not name.startswith("_")}


@pytest.mark.parametrize("name", samestep.__all__)
def test_public_name_has_a_docstring(name):
    value = getattr(samestep, name)
    if isinstance(value, str) or typing.get_origin(value) is not None:
        return  # __version__, and a domain such as unit: an alias carries no docstring
    doc = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    assert doc and doc.strip(), f"samestep.{name} has no docstring"
    if callable(value) and not isinstance(value, type):
        assert doc != type(value).__doc__, f"samestep.{name} has only the docstring of its class"


@pytest.mark.parametrize("name", samestep.__all__)
def test_public_class_has_documented_methods(name):
    value = getattr(samestep, name)
    if not isinstance(value, type):
        return
    bare = [
        key
        for key, member in vars(value).items()
        if not key.startswith("_")
        and (inspect.isfunction(member) or isinstance(member, (property, classmethod, staticmethod)))
        and not inspect.getdoc(getattr(value, key))
    ]
    assert not bare, f"samestep.{name}: no docstring on {bare}"


# The files


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_file_is_short(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"{relative(path)} has {lines} lines; a file of the core has at most 400"


@pytest.mark.parametrize("path", PAGES, ids=relative)
def test_page_is_one_page(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 120, f"{relative(path)} has {lines} lines; a page has at most 120"
    doc = ast.get_docstring(parse(path)) or ""
    assert re.search(r"https://|\bno paper\b", doc), f"{relative(path)}: name the source (a link, or 'no paper')"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_public_functions_have_docstrings(path):
    tree = parse(path)
    assert ast.get_docstring(tree), f"{relative(path)} has no docstring"
    bare = [
        node.name
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
        and not ast.get_docstring(node)
        and not is_page(node)
    ]
    assert not bare, f"{relative(path)}: no docstring on {bare}"


def is_page(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """A decorated page: the docstring of its file is its own."""
    kinds = {"gradient", "direction", "update"}
    return any(isinstance(item, ast.Call) and name_of(item.func) in kinds for item in node.decorator_list)


def name_of(node: ast.expr) -> str | None:
    """The last word of a dotted name: `ss.direction` and `direction` are both "direction"."""
    return getattr(node, "attr", getattr(node, "id", None))


# The frameworks


def imports(tree: ast.Module) -> set[str]:
    """Top-level names of all that a file imports, at its top or inside a function, by statement or by import_module."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
        elif isinstance(node, ast.Call) and name_of(node.func) in ("import_module", "__import__"):
            names.update(str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_core_file_imports_no_framework(path):
    found = imports(parse(path)) & FRAMEWORKS
    assert not found, f"{relative(path)} imports {sorted(found)}; a framework belongs to a backend"


def test_importing_samestep_imports_no_framework():
    code = f"import sys, samestep; print(*sorted({FRAMEWORKS!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == []


# The list of allowed skips: a run with a skip that is not on it must fail, and say which

GUARDED = """
import pytest

def test_runs(): pass

@pytest.mark.skip(reason="no such library")
def test_skips(): pass

@pytest.mark.xfail(reason="known")
def test_expected_failure(): assert False

@pytest.mark.parametrize("x", ["a[0]"])
def test_skips_inside(x): pytest.skip("needs a GPU")
"""
SKIP = "test_guarded.py::test_skips | no such library"
SKIP_INSIDE = "test_guarded.py::test_skips_inside[a[0]] | needs a GPU"


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize(
    ("allowed", "unexpected"),
    [
        ("", [SKIP, SKIP_INSIDE]),
        ("*::test_skips | no such*\n", [SKIP_INSIDE]),
        ("*::test_skips | no such*\n*::test_skips_inside[a[0]] | needs a GPU\n", []),
    ],
)
def test_only_allowed_skips_pass(tmp_path, allowed, unexpected, workers):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "allowed_skips.txt").write_text(allowed)
    (tmp_path / "test_guarded.py").write_text(GUARDED)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", workers, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == (1 if unexpected else 0), done.stdout + done.stderr
    shown = [line for line in done.stdout.splitlines() if line.startswith("test_guarded.py::") and " | " in line]
    assert sorted(shown) == sorted(unexpected)


def test_a_skipped_module_is_a_skip(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf-8"))
    (tmp_path / "allowed_skips.txt").write_text("")
    (tmp_path / "test_guarded.py").write_text("import pytest\npytest.importorskip('no_such_library')\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "test_guarded.py | could not import 'no_such_library'" in done.stdout
