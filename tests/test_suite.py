"""The checks are checked: a broken page and a broken backend are rejected, each by the check meant for it."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep.evaluate import Evaluated
from samestep_conformance import checks
from samestep_conformance.golden.make import read
from samestep_conformance.golden.problem import PROBLEMS


@ss.direction(m=ss.zeros, v=ss.zeros)
def adam_with_eps_inside(u, m, v, t, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam, wrong on purpose."""
    xp = ss.array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    return {"u": m / (1 - beta1**t) / xp.sqrt(v / (1 - beta2**t) + eps), "m": m, "v": v}


@ss.direction(m=ss.zeros, v=ss.zeros)
def adam_without_correction(u, m, v, *, beta1=0.9, beta2=0.999, eps=1e-8):
    """Adam, wrong on purpose."""
    xp = ss.array_namespace(u)
    m = beta1 * m + (1 - beta1) * u
    v = beta2 * v + (1 - beta2) * u * u
    return {"u": m / (xp.sqrt(v) + eps), "m": m, "v": v}


def against_golden(optimizer):
    problem = PROBLEMS["vector"]
    checks.matches_reference(optimizer, read("adam")["steps"], problem.gradient, problem.params())


def test_the_right_page_passes():
    against_golden(ss.adam(0.01))


@pytest.mark.parametrize("page", [adam_with_eps_inside, adam_without_correction])
def test_a_broken_page_is_rejected_by_the_reference(page):
    broken = ss.chain(page(), ss.descend(0.01))
    with pytest.raises(checks.Difference, match="off by"):
        against_golden(broken)
    checks.pure(broken)  # and by no other check
    checks.same_bits(broken, ("numba", False), steps=20)


class Broken(Evaluated):
    """A backend whose results are spoilt by `spoil(name, new)`."""

    def __init__(self, spoil):
        super().__init__("numpy", "broken")
        self.spoil = spoil

    def compile(self, program, signature, shapes):
        compiled = super().compile(program, signature, shapes)
        bind = compiled.bind

        def spoilt(arrays, donate):
            bound = bind(arrays, donate)
            store = bound.store

            def storing(*args):
                return {
                    k: [self.spoil(k, new, old) for new, old in zip(v, arrays[k], strict=True)]
                    for k, v in store(*args).items()
                }

            bound.store = storing
            return bound

        compiled.bind = spoilt
        return compiled


@pytest.fixture
def broken(monkeypatch):
    """Makes `use_backend("broken")` work, with the fault given."""

    def install(spoil):
        entry = type("Entry", (), {"load": staticmethod(lambda: Broken(spoil))})
        known = {**backends._discovered(), "broken": entry}
        monkeypatch.setattr(backends, "_discovered", lambda: known)
        backends.load.cache_clear()

    yield install
    backends.load.cache_clear()


def dropped_nan(name, new, old):
    return np.nan_to_num(new, nan=0.0, posinf=np.inf, neginf=-np.inf)


def flushed(name, new, old):
    return np.where(np.abs(new) < np.finfo(new.dtype).tiny, new.dtype.type(0), new)


def last_bit(name, new, old):
    return np.nextafter(new, new.dtype.type(np.inf)) if name == "p" else new


def wider(name, new, old):
    return new.astype(np.float64)


@pytest.mark.parametrize("spoil", [dropped_nan, flushed, last_bit, wider])
def test_a_broken_backend_is_rejected_by_its_bits(broken, spoil):
    broken(spoil)
    with pytest.raises(checks.Difference, match="broken against numpy"):
        checks.same_bits(ss.adamw(1e-2), ("broken", False), steps=100, bad_from=50)


def in_place(name, new, old):
    old[...] = new
    return old


def aliased(name, new, old):
    return old if name == "m" else new


@pytest.mark.parametrize("spoil, message", [(in_place, "before"), (aliased, "share memory")])
def test_a_backend_that_writes_or_keeps_its_inputs_is_rejected_by_purity(broken, spoil, message):
    broken(spoil)
    with pytest.raises(checks.Difference, match=message):
        checks.pure(ss.adamw(1e-2), "broken", shapes={"w": (3, 2)})


def test_a_sound_backend_passes(broken):
    broken(lambda name, new, old: new)
    checks.same_bits(ss.adamw(1e-2), ("broken", False), steps=20)
    checks.pure(ss.adamw(1e-2), "broken")


def test_a_state_that_does_not_resume_is_rejected():
    class Stale:
        """Keeps its count in itself instead of the state."""

        def __init__(self):
            self.t = 0

        def init(self, params):
            return {"step": 0}

        def step(self, params, grads, state):
            self.t += 1
            return {k: p - 0.1 / self.t * grads[k] for k, p in params.items()}, {"step": self.t}

    with pytest.raises(checks.Difference, match="resumed"):
        checks.resumes(Stale())
    checks.resumes(ss.nadam())


@pytest.mark.parametrize("name", ["adamw", "lamb", "adafactor", "muon", "shampoo", "ftrl", "dog", "lookahead"])
def test_every_kind_of_program_passes_every_check(name):
    from samestep_conformance.golden.cases import CASES

    optimizer = next(case for case in CASES if case.name == name).ours(ss)
    for dtype in ("float32", "float64")[
        name == "shampoo" :
    ]:  # 1e30 squared is inf in float32, of which eigh makes nothing
        checks.pure(optimizer, dtype=dtype, shapes=checks.FACTORED)
        checks.resumes(optimizer, dtype=dtype, shapes=checks.FACTORED)
        checks.donated_equals_fresh(optimizer, "numpy", dtype=dtype, shapes=checks.FACTORED)


def test_a_third_party_backend_joins_through_its_entry_point(tmp_path: Path):
    """A distribution of its own, no line in the core: listed, chosen by name, chosen by itself for its rank."""
    (tmp_path / "otherstep.py").write_text(
        textwrap.dedent("""
        from samestep.evaluate import Evaluated

        class Other(Evaluated):
            rank = 1000

        backend = Other("numpy", "other")
        """)
    )
    info = tmp_path / "otherstep-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherstep\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[samestep.backends]\nother = otherstep:backend\nlost = no_such_module:backend\n"
    )
    script = """
        import numpy as np, samestep as ss
        assert ss.explain(ss.adamw(), np.ones(3)).backend("") == "other"
        listed = {entry.name: entry for entry in ss.backends()}
        assert listed["other"].installed and not listed["lost"].installed and "no_such_module" in listed["lost"].reason
        from samestep_conformance import checks
        checks.same_bits(ss.adamw(), ("other", False), steps=5)
        checks.pure(ss.adamw(), "other")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
