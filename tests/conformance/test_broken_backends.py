"""Backends with one fault each: each is rejected by the check meant for it, and by its message."""

import numpy as np
import pytest

import samestep as ss
from samestep.evaluate import BoundEvaluated, CompiledEvaluated, Evaluated
from samestep.pinned import Pinned
from samestep_conformance import against, checks
from samestep_conformance.programs import optimizers
from samestep_conformance.suite import CHECKS, Subject, examine, subject


class Arithmetic(np.ndarray):
    """Arrays whose operations `rule(ufunc, arguments, results so far)` spoils."""

    rule = None
    product = None  # of a contracting one: what it was before it was rounded

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **options):
        plain = [np.asarray(x) for x in inputs]
        with np.errstate(all="ignore"):
            found = np.asarray(self.rule(ufunc, inputs, plain)).view(type(self))
            if ufunc is np.multiply:
                found.product = np.multiply(*(x.astype(np.float64) for x in plain))
        return found


class Contracting(Arithmetic):
    """a * b + c, rounded once."""

    def rule(self, ufunc, inputs, plain):
        products = [getattr(x, "product", None) for x in inputs]
        if ufunc not in (np.add, np.subtract) or all(x is None for x in products):
            return ufunc(*plain)
        wide = [p if p is not None else x.astype(np.float64) for p, x in zip(products, plain, strict=True)]
        return ufunc(*wide).astype(plain[0].dtype)


class Flushing(Arithmetic):
    """No subnormals."""

    def rule(self, ufunc, inputs, plain):
        x = ufunc(*plain)
        return np.where(np.abs(x) < np.finfo(x.dtype).tiny, x.dtype.type(0), x) if x.dtype.kind == "f" else x


class Deaf(Arithmetic):
    """Every number equals itself: a maximum loses its NaN."""

    def rule(self, ufunc, inputs, plain):
        return np.zeros(plain[0].shape, bool) if ufunc is np.not_equal else ufunc(*plain)


class Saturating(Arithmetic):
    """No infinities."""

    def rule(self, ufunc, inputs, plain):
        x = ufunc(*plain)
        return np.clip(x, np.finfo(x.dtype).min, np.finfo(x.dtype).max) if x.dtype.kind == "f" else x


class Reciprocal(Arithmetic):
    """a / b as a * (1 / b)."""

    def rule(self, ufunc, inputs, plain):
        return plain[0] * (plain[0].dtype.type(1) / plain[1]) if ufunc is np.divide else ufunc(*plain)


class Unordered(Pinned):
    """Sums from the other end."""

    def _tiles(self, x):
        return float(np.cumsum(x[::-1])[-1]) if x.size else 0.0


class Bound(BoundEvaluated):
    def __init__(self, compiled, arrays, donate):
        self.faults = compiled.faults
        super().__init__(compiled, arrays, donate)
        self.pinned = self.faults.get("pinned", Pinned)(np)

    def _computed(self, i):
        kind = self.faults.get("arithmetic", np.ndarray)
        return {name: x.view(kind) for name, x in super()._computed(i).items()}

    def store(self, *args):
        spoil = self.faults.get("spoil", lambda name, new, old, donate: new)
        found = super().store(*args).items()
        return {
            name: [spoil(name, new, old, self.donate) for new, old in zip(values, self.arrays[name], strict=True)]
            for name, values in found
        }


class Compiled(CompiledEvaluated):
    def bind(self, arrays, donate):
        self.on_bind()
        return Bound(self, arrays, donate)


class Broken(Evaluated):
    """NumPy's operations, and faults: `arithmetic`, `pinned`, `spoil`, `counts`."""

    def __init__(self, **faults):
        super().__init__("numpy", "broken")
        self.faults, self.steps = faults, 0
        if "counts" in faults:
            self.compilations = lambda: self.steps

    def compile(self, program, signature, shapes):
        compiled = Compiled(program, signature)
        compiled.faults, compiled.on_bind = self.faults, self.bound
        return compiled

    def bound(self):
        self.steps += 1


def in_place(name, new, old, donate):
    old[...] = new
    return old


def found(name, backend, checks, dtype="float32"):
    cell = examine(subject(name, backend.name, dtype), checks)
    return {outcome.check: outcome.message for outcome in cell.failures}


FEW = [check for check in CHECKS if check.name != "long run"]
USUAL = {"same bits", "empty and 0-d leaves", "a leaf that wakes late"}
GRADIENTS = {"zero gradients", "infinite gradients", "NaN gradients", "subnormal gradients"}
FAULTS = {
    # name: what is wrong, an optimizer that shows it, the check meant for it, its message, those that must stay silent
    "contracted": (
        {"arithmetic": Contracting},
        "adamw",
        "same bits",
        "entries differ",
        {"pure", "resumes from a copy"},
    ),
    "flushed": (
        {"arithmetic": Flushing},
        "adamw",
        "subnormal gradients",
        "step 2, ",
        GRADIENTS - {"subnormal gradients"},
    ),
    "dropped NaN": (
        {"arithmetic": Deaf},
        "adopt",
        "NaN gradients",
        "nan",
        GRADIENTS - {"NaN gradients", "infinite gradients"},
    ),
    "saturated": (
        {"arithmetic": Saturating},
        "sgd_momentum",
        "infinite gradients",
        "inf",
        GRADIENTS - {"infinite gradients"},
    ),
    "reciprocal": (
        {"arithmetic": Reciprocal},
        "adamw",
        "same bits",
        "entries differ",
        {"pure", "dtype and shape kept"},
    ),
    "unordered": ({"pinned": Unordered}, "lamb_clipped", "same bits", "differ", {"pure", "resumes from a copy"}),
    "writes": ({"spoil": in_place}, "adamw", "pure", "inputs after the step, against before", {"same bits"}),
    "keeps": ({"spoil": lambda name, new, old, donate: old if name == "m" else new}, "adamw", "pure", "share", set()),
    "widens": (
        {"spoil": lambda name, new, old, donate: new.astype(np.float64)},
        "adamw",
        "dtype and shape kept",
        "float32(7,) became float64(7,)",
        set(),
    ),
    "donates": (
        {"spoil": lambda name, new, old, donate: np.nextafter(new, new + 1, out=new) if donate and new.size else new},
        "adamw",
        "donated equals fresh",
        " in place against ",
        {*USUAL, *GRADIENTS},
    ),
    "recompiles": ({"counts": True}, "adamw", "no recompilation", " counted ", {*USUAL, "pure"}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_the_check_meant_for_it(fault, install):
    faults, name, meant, message, silent = FAULTS[fault]
    backend = install(Broken(**faults))
    failed = found(name, backend, FEW, "float64") if fault == "unordered" else found(name, backend, FEW)
    assert message in failed[meant], failed
    assert not silent & set(failed), failed


def test_a_sound_backend_passes(install):
    backend = install(Broken())
    for name in ("adamw", "adam_amsgrad_post", "lamb_clipped", "sgd_momentum", "muon"):
        assert not found(name, backend, FEW)


def test_a_last_bit_is_named_with_its_step_and_size(install):
    spoil = lambda name, new, old, donate: np.nextafter(new, new.dtype.type(9)) if name == "p" else new  # noqa: E731
    backend = install(Broken(spoil=spoil))
    cell = examine(subject("adamw", backend.name, "float64"), FEW[:1])
    assert cell.apart.step == 1 and cell.apart.ulps == 1
    assert cell.failures[0].message.startswith(
        f"step 1, params ({backend.name} against numpy), leaf 'bias': 7 of 7 entries differ"
    )


def stating(backend, what):
    backend.exceptions = {what: "for a test"}
    return backend


def test_a_stated_exception_is_granted_and_no_more(install):
    backend = stating(install(Broken(arithmetic=Flushing)), "subnormals")
    cell = examine(subject("adamw", backend.name, "float32"), FEW)
    assert not cell.failures
    assert "stated exception: for a test" in {outcome.message for outcome in cell.outcomes}
    assert "same bits" in found("adamw", stating(install(Broken(arithmetic=Reciprocal)), "subnormals"), FEW)


def test_sums_in_another_order_have_a_bound_where_that_is_stated(install):
    backend = stating(install(Broken(pinned=Unordered)), "sums")
    cell = examine(subject("lamb_clipped", backend.name, "float64"), FEW)
    assert not cell.failures and 0 < cell.apart.ulps < 10
    backend = stating(install(Broken(pinned=Unordered, arithmetic=Reciprocal)), "sums")
    assert "same bits" in found("adamw", backend, FEW), "an exact program is held to the bits all the same"


@pytest.mark.parametrize(("name", "off"), [("every transcendental operation", 1e-4), ("muon", 1e-2)])
def test_more_than_the_bound_of_a_class_is_rejected(name, off, install):
    backend = install(Broken(spoil=lambda slot, new, old, donate: np.asarray(new * np.float32(1 + off))))
    assert "units in the last place, more than" in found(name, backend, FEW[:1])["same bits"]


def test_what_a_backend_refuses_is_left_out_with_its_reason(install):
    backend = install(Broken())
    backend.refuses = lambda program, signature: "it is too long"
    cell = examine(subject("adamw", backend.name, "float32"))
    assert (cell.status, cell.reason, cell.outcomes) == ("left out", "it is too long", ())


@pytest.mark.parametrize("what", ["refuses", "arrays", "accepts"])
def test_a_backend_that_cannot_say_what_it_refuses_is_not_left_out(what, install):
    backend = install(Broken())
    setattr(backend, what, lambda: None.missing)
    cell = examine(subject("adamw", backend.name, "float32"))
    assert cell.status == "failed" and "Error: " in cell.failures[0].message, cell


def test_a_library_without_a_dtype_is_left_out_and_one_without_float32_is_none(install):
    class Few:
        """Of a library's namespace what there is in it."""

        def __init__(self, *dtypes):
            self.dtypes = dtypes

        def asarray(self, x):
            if x.dtype.name not in self.dtypes:
                raise TypeError(f"{x.dtype} is not for us")
            return x

    backend = install(Broken())
    backend.arrays = lambda: Few("float32")
    cells = [examine(subject("adamw", backend.name, dtype), ()) for dtype in ("float32", "float16")]
    assert [cell.status for cell in cells] == ["passed", "left out"]
    assert cells[1].reason == "its library has no float16: float16 is not for us"
    backend.arrays = lambda: Few("float16")
    (failure,) = examine(subject("adamw", backend.name, "float32"), ()).failures
    assert failure.message == "TypeError: float32 is not for us"


def test_a_long_run_is_shorter_where_steps_are_slow(install, monkeypatch):
    monkeypatch.setattr(against, "agrees", lambda optimizer, backend, *, steps, **rest: steps)
    backend = install(Broken())
    assert checks.long_run(ss.adamw(), backend.name) == 1000
    backend.slow = "step"
    assert checks.long_run(ss.adamw(), backend.name) == 50


def test_a_slow_step_in_a_thousand_is_found(install):
    """What only a long run can show."""
    calls = []

    def late(name, new, old, donate):
        calls.append(name)
        return np.nextafter(new, new + 1) if len(calls) == 700 and new.size else new

    only = [check for check in CHECKS if check.name == "long run"]
    assert "entries differ" in found("sgd_momentum", install(Broken(spoil=late)), only)["long run"]


def test_the_golden_trajectory_is_checked_on_every_backend(install):
    backend = install(Broken(spoil=lambda name, new, old, donate: new + 1e-10 if name == "p" else new))
    only = [check for check in CHECKS if check.name == "matches the reference"]
    assert "off by 1.0e-10, more than 1e-12" in found("adamw", backend, only, "float64")["matches the reference"]


def test_every_kind_of_program_passes_every_check_on_numpy():
    for name in ("adamw", "lamb", "adafactor", "muon", "shampoo", "ftrl", "dog", "lookahead"):
        cell = examine(Subject(name, optimizers()[name], "numpy", "float32", name), FEW)
        assert not cell.failures, cell.failures
