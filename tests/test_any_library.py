"""Arrays of a library that no backend is made for: it follows the standard, and that is enough."""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.evaluate import Evaluated
from samestep_conformance.arrays import SMALL, asked, gradients, params
from samestep_numba.memory import NumPyMemory


@pytest.fixture
def library(tmp_path, monkeypatch):
    """array-api-strict under a name that nobody has heard of."""
    theirs = Path(importlib.util.find_spec("array_api_strict").origin).parent
    for file in theirs.rglob("*.py"):
        to = tmp_path / "nobodys" / file.relative_to(theirs)
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_text(file.read_text().replace("array_api_strict", "nobodys"))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("nobodys")
    for name in [name for name in sys.modules if name.partition(".")[0] == "nobodys"]:
        del sys.modules[name]


def test_it_is_evaluated_by_its_own_operations_to_the_same_bits(library):
    optimizer = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.1, cautious="mean"), ss.lookahead(k=2))
    for dtype in ("float32", "float64"):
        ours, theirs = params(dtype, SMALL), {k: library.asarray(x) for k, x in params(dtype, SMALL).items()}
        shown = ss.explain(optimizer, theirs)
        assert shown.backend("matrix") == "nobodys" and "evaluated by its own operations" in str(shown)
        state, states = optimizer.init(ours), optimizer.init(theirs)
        for t in range(1, 6):
            grads = gradients(dtype, SMALL)(t)
            with asked("numpy"):
                ours, state = optimizer.step(ours, grads, state)
            theirs, states = optimizer.step(theirs, {k: library.asarray(g) for k, g in grads.items()}, states)
            for k, x in ours.items():
                assert type(theirs[k]).__module__.startswith("nobodys")
                assert np.array_equal(np.asarray(theirs[k]), x), (dtype, t, k)
                assert np.array_equal(np.asarray(states["v"][k]), state["v"][k])


class Look:
    """At the NumPy arrays in these."""

    def __init__(self, layout):
        self.layout = layout

    def gather(self, leaves, out, writeable=0):
        return self.layout.gather([x._array for x in leaves], out, writeable)


class Reached(NumPyMemory):
    """Where the arrays of nobody's library lie."""

    library = "nobodys"

    def accepts(self, array):
        return type(array).__module__.startswith("nobodys")

    def layout(self, expected):
        return Look(super().layout(expected))

    def plain(self, array, dtype):
        return array

    def wrap(self, arrays, dtype):
        return [importlib.import_module("nobodys").asarray(x, copy=False) for x in arrays]


class Nobodys(Evaluated):
    """Its library's backend, which says how kernels reach its arrays."""

    host_memory = Reached()


@pytest.mark.parametrize("donate", [False, True])
def test_kernels_run_on_whatever_says_how_to_reach_it(library, donate, monkeypatch):
    """Whoever has kernels asks for `host_memory`, and for no library by its name."""
    theirs = Nobodys("nobodys")
    entry = type("Entry", (), {"load": staticmethod(lambda: theirs)})
    known = {**backends._discovered(), "nobodys": entry}
    monkeypatch.setattr(backends, "_discovered", lambda: known)
    optimizer, steps = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.1, cautious="mean")), 3
    given = {k: library.asarray(x) for k, x in params("float32", SMALL).items()}
    assert ss.explain(optimizer, given).backend("matrix") == "numba"
    found, state = given, optimizer.init(given)
    ours = params("float32", SMALL)
    states = optimizer.init(ours)
    for t in range(1, steps + 1):
        grads = gradients("float32", SMALL)(t)
        new, state = optimizer.step(found, {k: library.asarray(g) for k, g in grads.items()}, state, donate=donate)
        assert all((new[k] is found[k]) == donate for k in new)
        found = new
        with asked("numpy"):
            ours, states = optimizer.step(ours, grads, states)
        assert all(np.array_equal(np.asarray(found[k]), x) for k, x in ours.items()), t
