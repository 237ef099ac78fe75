"""explain: what is promised of a library, and what is not."""

import array_api_strict
import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.evaluate import own


@pytest.fixture
def stranger(monkeypatch):
    """A library of the standard that no backend answers for: array-api-strict without its entry point."""
    known = {name: point for name, point in backends._discovered().items() if name != "strict"}
    monkeypatch.setattr(backends, "_discovered", lambda: known)
    return array_api_strict


def test_a_library_that_nobody_tested_is_not_vouched_for(stranger):
    line = ss.explain(ss.adamw(), stranger.ones(3)).lines[0]
    assert (line.backend, line.exactness) == ("array_api_strict", "not vouched for")


@pytest.mark.parametrize("make", [ss.adamw, ss.lamb, ss.nadam, ss.adafactor, ss.muon])
def test_any_other_library_of_the_standard_runs_the_same_way(make, stranger):
    optimizer, g = make(1e-2), np.linspace(-1, 2, 6, dtype="float32").reshape(2, 3)
    ours, state = stranger.ones((2, 3), dtype=stranger.float32), None
    theirs, expected = np.ones((2, 3), "float32"), None
    for _ in range(3):
        ours, state = optimizer.step(ours, stranger.asarray(g), state or optimizer.init(ours))
        with ss.use_backend("numpy"):
            theirs, expected = optimizer.step(theirs, g, expected or optimizer.init(theirs))
    assert type(ours) is type(stranger.ones(1)) and np.array_equal(np.from_dlpack(ours), theirs)
    assert state["step"] == 3


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_what_evaluates_eval_params_is_no_compiler(name):
    assert own(backends.load(name).arrays().ones(2)).name == name


def test_a_backend_that_breaks_at_its_import_is_refused_and_harms_no_other(monkeypatch):
    class Broken:
        def load(self):
            raise OSError("libcudart.so: cannot open shared object file")

    known = {**backends._discovered(), "broken_backend": Broken()}
    monkeypatch.setattr(backends, "_discovered", lambda: known)
    try:
        assert ss.explain(ss.adamw(), np.ones(3)).lines[0].backend in ("numba", "numpy")
        entry = next(entry for entry in ss.backends() if entry.name == "broken_backend")
        assert not entry.installed and "libcudart.so" in entry.reason
        with pytest.raises(ss.BackendError, match="cannot be imported"), ss.use_backend("broken_backend"):
            pass
    finally:
        backends.load.cache_clear()


def test_leaves_that_are_alike_are_chosen_for_once(monkeypatch):
    asked = []
    choose = backends.choose
    monkeypatch.setattr(backends, "choose", lambda *three: asked.append(three) or choose(*three))
    lines = ss.explain(ss.adamw(), [np.ones(3, dtype) for dtype in ("f4", "f8") for _ in range(5)]).lines
    assert len(asked) == 2 and [len(line.paths) for line in lines] == [5, 5]
