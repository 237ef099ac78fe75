"""The rules of the house, held by the repository itself."""

import ast
import inspect
import os
import pydoc
import re
import subprocess
import sys
import types
import typing
from pathlib import Path

import pytest

import samestep
from samestep.page import Page

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


# What help() says: of every public function, page and verb its arguments and an example; of an optimizer, everything


def public_callables() -> dict[str, typing.Any]:
    """By its name: the functions and pages of `__all__`, and the methods of its classes but errors."""
    found = {}
    for name in samestep.__all__:
        value = getattr(samestep, name)
        if inspect.isclass(value) and not issubclass(value, Exception):
            members = {f"{name}.{key}": each for key, each in vars(value).items() if not key.startswith("_")}
            found |= {key: each for key, each in members.items() if inspect.isfunction(each)}
        elif inspect.isfunction(value) or isinstance(value, Page):
            found[name] = value
    found |= {f"estimate.{key}": getattr(samestep.estimate, key) for key in samestep.estimate.__all__}
    return {name: value for name, value in found.items() if value.__module__.startswith("samestep.")}


CALLABLES = public_callables()
OPTIMIZERS = {name: value for name, value in CALLABLES.items() if hasattr(value, "pages")}
PUBLIC_PAGES = {name: value for name, value in CALLABLES.items() if isinstance(value, Page)}


def parameters(value) -> dict[str, typing.Any]:
    """The arguments of a call, with their defaults."""
    if isinstance(value, Page):
        return {name: hyper.default for name, hyper in value.hypers.items()}
    return {p.name: p.default for p in inspect.signature(value).parameters.values() if p.name != "self"}


def arguments(doc: str) -> dict[str, str]:
    """The entries under "Args:", by name; one line may be about several."""
    _, _, after = doc.partition("\nArgs:\n")
    block = re.split(r"\n(?! {4})", after)[0]
    found = {}
    for entry in re.split(r"\n {4}(?! )", "\n" + block)[1:]:
        names, colon, text = entry.partition(":")
        assert colon, f"an entry of Args is 'name: text': {entry!r}"
        found.update(dict.fromkeys((name.strip(" *") for name in names.split(",")), text))
    return found


def tells(text: str, default: object) -> bool:
    """Whether a default is written there."""
    if isinstance(default, tuple):
        return all(tells(text, x) for x in default)
    if isinstance(default, int | float) and not isinstance(default, bool):
        return default in [float(x) for x in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?", text)]
    return (f'"{default}"' if isinstance(default, str) else f"{default}") in text


@pytest.mark.parametrize("name", CALLABLES)
def test_help_has_arguments_and_an_example(name):
    doc = inspect.getdoc(CALLABLES[name])
    summary, *rest = doc.splitlines()
    assert summary.endswith(".") and (not rest or not rest[0]), f"{name}: one line, then a blank one"
    assert set(arguments(doc)) == set(parameters(CALLABLES[name])), f"{name}: Args must name each argument"
    assert "\n>>> " in doc, f"{name} has no example"
    if name.startswith("Optimizer."):
        assert re.search(r"\nRaises:\n    \w+(, \w+)*: ", doc), f"{name}: what does it raise?"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_help_of_an_optimizer_says_everything(name):
    doc = inspect.getdoc(OPTIMIZERS[name])
    before = doc.partition("\nArgs:\n")[0]
    assert re.search(r"^    \S.*( <- | = )", before, re.MULTILINE), f"{name} has no line with an equation"
    assert re.search(r"\([A-Z][^()]*, (19|20)\d\d, https://\S+\)\.", before), f"{name}: (author, year, link)"
    told = arguments(doc)
    for argument, default in parameters(OPTIMIZERS[name]).items():
        if default is not inspect.Parameter.empty:
            assert tells(told[argument], default), f"{name}: the default of {argument}, {default!r}, is not told"
    assert re.search(r"\bParams are floating arrays.*slots? .*dtype", doc, re.DOTALL), f"{name}: what is in its state?"
    unnamed = {slot for page in OPTIMIZERS[name].pages for slot in page.slots if f"`{slot}`" not in doc}
    assert not unnamed, f"{name}: no word about the slots {unnamed}"
    assert "\nRaises:\n    HyperparameterError: " in doc, f"{name}: what does it raise?"


@pytest.mark.parametrize("name", PUBLIC_PAGES)
def test_help_of_a_part_leads_to_its_equations(name):
    """On the page itself, or one help() away, where the source is too."""
    module = PUBLIC_PAGES[name].__module__
    assert f'help("{module}")' in inspect.getdoc(PUBLIC_PAGES[name]), f"{name}: say where the equations are"
    doc = inspect.getdoc(pydoc.locate(module))
    assert " <- " in doc or " = " in doc
    assert re.search(r"\b(19|20)\d\d,\s.*https://|no paper", doc, re.DOTALL)


CORRECTED = {  # where an article that we know is wrong, the page says what it has
    "samestep.cautious": "lr S / (S + 1) of an\narticle lost the factor",
    "samestep.algorithms.c_adamw": "a beta2 of 0.999 in C-Lion",
    "samestep.algorithms.adopt": "prints g for g^2",
    "samestep.algorithms.adan": "adds the step in its last line, which climbs",
    "samestep.modifiers.agd": "An article has x = p + lr momentum m, and the handbook x = p - m",
    "samestep.algorithms.adam": "0 / 0 at t = 1",
    "samestep.algorithms.ftrl": "which is right of s = eta_t",
    "samestep.composition.rules": "do not add up to h_t",
    "samestep.algorithms.adax": "overflows float32",
}


@pytest.mark.parametrize("name", CORRECTED)
def test_help_says_where_an_article_is_wrong(name):
    assert CORRECTED[name] in inspect.getdoc(pydoc.locate(name))


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


BACKENDS = {  # whose folder, which libraries, which names
    "samestep_numba": {"numba", "llvmlite"},
    "samestep_torch": {"torch", "torch-compile"},
    "samestep_jax": {"jax", "jaxlib", "jax-jit"},
    "samestep_cupy": {"cupy", "cupy_backends", "cuda-shim"},
    "samestep_dask": {"dask"},
}
NAMED = set().union(BACKENDS, *BACKENDS.values(), {"array_api_strict"})
CONVENTIONS = {"dialects.py", "clip.py"}  # which have such words for what a library does


def strings(tree: ast.Module) -> set[str]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}


@pytest.mark.parametrize("folder", ["samestep", *BACKENDS])
def test_backends_are_asked_for_by_what_they_can_do(folder):
    """Neither the core nor a backend names a backend, or imports one: what they offer each other are attributes."""
    assert {path.parent.name for path in (ROOT / "backends").glob("*/__init__.py")} == set(BACKENDS)
    own = BACKENDS.get(folder, set()) | {folder}
    for path in FILES if folder == "samestep" else (ROOT / "backends" / folder).rglob("*.py"):
        if folder == "samestep" and path.name in CONVENTIONS:
            continue
        tree = parse(path)
        found = (imports(tree) | strings(tree)) & NAMED
        assert found <= own, f"{relative(path)} names {sorted(found - own)}"


# The decisions

DECISIONS = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))


@pytest.mark.parametrize("path", DECISIONS[1:], ids=relative)
def test_a_decision_follows_the_template(path):
    text = path.read_text(encoding="utf-8")
    number = path.name[:4]
    assert number == f"{DECISIONS.index(path):04}", "the numbers have no gap"
    assert re.match(
        rf"# {number}: \S.*\n\nDate: \d{{4}}-\d\d-\d\d\. Issue: \d+\. State: (taken|replaced by \d{{4}})\.\n", text
    )
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["Context", "Alternatives", "Choice"]
    alternatives = text.partition("## Alternatives\n\n")[2].partition("\n\n## Choice")[0]
    assert all(line.startswith(("- **", "  ")) for line in alternatives.splitlines())
    assert len(text.split()) <= 350, "half a page"


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
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist", "-n", workers, str(tmp_path)]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # others take seconds to import, in every worker
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=300, env=env)
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
