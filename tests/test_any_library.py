"""Arrays of a library that no backend is made for: it follows the standard, and that is enough."""

import importlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

import samestep as ss
from samestep_conformance.arrays import SMALL, asked, gradients, params


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
