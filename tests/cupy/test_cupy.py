"""The CuPy backend: its host part against a stand-in for CuPy, and the real thing where there is a GPU."""

import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import samestep as ss
import samestep_cupy
from samestep import backend as backends
from samestep.errors import BackendError
from samestep_conformance import checks
from samestep_cupy import nvrtc

exact = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "test_exact.py")))
stand_in = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("fake_cupy.py"))))

REASON = samestep_cupy.backend.missing()
SHAPES = {"matrix": (24, 18), "bias": (7,), "scalar": (), "empty": (0, 3), "tile": (70_000,)}


@pytest.fixture
def cupy(monkeypatch, tmp_path):
    """The stand-in, as if CuPy and a GPU were there."""
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    made = stand_in.modules()
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    stand_in.forget(monkeypatch)
    stand_in.Device.entered.clear()
    yield made["cupy"]
    sys.modules.pop("samestep_cupy.device", None)


def steps(optimizer, xp, *, dtype="float32", count=3, donate=False, shapes=SHAPES, order="C"):
    """Params and state after each step, as NumPy arrays; `xp` is NumPy or CuPy, real or not."""
    to = getattr(xp, "asnumpy", np.asarray)

    def given(arrays):
        return {name: xp.asarray(np.array(x, order=order)) for name, x in arrays.items()}

    now = given(checks.params(dtype, shapes))
    state = optimizer.init(now)
    gradients = checks.gradients(dtype, shapes, bad_from=count)
    for t in range(1, count + 1):
        new, state = optimizer.step(now, given(gradients(t)), state, donate=donate)
        assert not donate or all(new[name] is now[name] for name in new)
        now = new
        assert {type(x).__module__ for x in now.values()} == {xp.__name__}
        found = {slot: {n: to(x) for n, x in state[slot].items()} for slot in state if type(state[slot]) is dict}
        yield {name: to(x) for name, x in now.items()}, found


def same(optimizer, xp, **options):
    """Bit for bit what NumPy has."""
    ours, reference = steps(optimizer, xp, **options), steps(optimizer, np, **options)
    for t, (a, b) in enumerate(zip(ours, reference, strict=True), start=1):
        checks.equal(a, b, t, "params and state")


# -- with the stand-in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("name", ["adamw", "lamb", "clip_adamw", "lion_cautious"])
def test_the_host_part(name, donate, cupy):
    optimizer = exact.PROGRAMS[name](ss)
    for dtype in ("float16", "float32", "float64"):
        same(optimizer, cupy, dtype=dtype, donate=donate)
    line = ss.explain(optimizer, {"x": cupy.asarray(np.ones(3))}).lines[0]
    assert line.backend == "cupy"
    assert set(stand_in.Device.entered) == {0}


@pytest.mark.parametrize("donate", [False, True])
def test_arrays_in_another_order(donate, cupy):
    same(ss.adamw(), cupy, donate=donate, order="F", shapes={"matrix": (24, 18), "cube": (3, 4, 5)})


def test_nothing_is_launched_for_nothing(cupy):
    """A launch of no blocks is an error to CUDA."""
    same(ss.lamb(), cupy, shapes={"empty": (0, 3)})


def test_a_stage_is_one_launch_for_all_leaves(cupy):
    """Large and small ones, through a table of chunks."""
    shapes = {f"{n}": (n,) for n in range(1, 40)} | {"large": (70_000,)}
    for optimizer, stages in ((ss.adamw(), ["stage0"]), (ss.lamb(), ["stage0", "join0", "stage1"])):
        stand_in.Module.launched.clear()
        list(steps(optimizer, cupy, shapes=shapes, count=2))
        assert stand_in.Module.launched == stages * 2


def test_it_is_compiled_once_and_as_it_must_be(cupy):
    libs = sys.modules["cupy_backends.cuda.libs"]
    for _ in range(2):
        same(ss.lamb(), cupy)
    assert libs.nvrtc.options == [(*nvrtc.OPTIONS, "--gpu-architecture=sm_90")]
    assert {"--fmad=false", "--ftz=false"} <= set(nvrtc.OPTIONS)


def test_arrays_on_two_gpus_are_refused(cupy):
    params = {name: cupy.asarray(np.ones(3, np.float32)) for name in "ab"}
    optimizer = ss.adamw()
    state = optimizer.init(params)
    params["b"].gpu = 1
    with pytest.raises(BackendError, match=r"GPUs \[0, 1\]"):
        optimizer.step(params, params, state)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda cupy: setattr(cupy.cuda, "is_available", lambda: False), "CUDA finds no GPU"),
        (lambda cupy: setattr(cupy.cuda.runtime, "is_hip", True), "ROCm"),
    ],
)
def test_what_is_missing_is_said(change, reason, cupy):
    change(cupy)
    assert reason in samestep_cupy.backend.missing()
    with pytest.raises(BackendError, match=reason), ss.use_backend("cupy"):
        pass


def test_without_cupy_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(samestep_cupy, "find_spec", lambda name: None)
    assert "pip install samestep[cupy13]" in samestep_cupy.backend.missing()


def test_a_broken_cupy_is_said(monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so is gone")

    monkeypatch.setattr(samestep_cupy, "find_spec", lambda name: True)
    monkeypatch.setattr(samestep_cupy, "import_module", broken)
    assert "libcudart.so is gone" in samestep_cupy.backend.missing()


def test_it_takes_arrays_of_cupy_only(cupy):
    backend = backends.load("cupy")
    assert backend.accepts(cupy.asarray(np.ones(3))) and not backend.accepts(np.ones(3))
    assert backend.arrays() is cupy


# -- with the real one -------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(REASON is not None, reason=f"needs a GPU: {REASON}")
@pytest.mark.parametrize("donate", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_same_bits(dtype, donate):
    import cupy as real

    for name in exact.PRINTED:
        same(exact.PROGRAMS[name](ss), real, dtype=dtype, donate=donate, count=50)
