"""Reductions in their pinned order: explicit loops, NumPy, array-api-strict and the kernels, around every edge."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import array_api_strict
import numpy as np
import pytest
from array_api_compat import array_namespace

from samestep.pinned import LANES, TILE, Pinned
from samestep.trace.graph import Kind, Program, Rank
from samestep.trace.namespace import Tracer
from samestep_numba import compiled
from samestep_numba.threads import use_threads

loop = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("node_loop.py"))))
harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("harness.py"))))

FLOATS = (np.float32, np.float64)
REDUCTIONS = ("sum", "sum_squares", "max", "min", "count_nonzero")
EDGES = (LANES, 2 * LANES, 128, 64, 2, 1)
SIZES = sorted({0, 3, 7, 100, 1000, *(e + d for e in EDGES for d in (-1, 0, 1))})
LARGE = [TILE - 1, TILE, TILE + 1, TILE + LANES - 1, TILE + LANES + 1, 2 * TILE, 2 * TILE + 77, 5 * TILE - 3]


def reducing():
    """The five reductions of the gradient, each in a scalar slot."""
    tracer = Tracer((3,))
    p, g = (tracer.source("input", name, Kind(Rank.ARRAY, full=True)) for name in ("p", "grad"))
    found = {name: tracer.apply(name, g).node for name in REDUCTIONS}
    return Program({"p": p.node, **found}, REDUCTIONS, (), ())


def leaves(arrays):
    return [{"p": x, "grad": x} | dict.fromkeys(REDUCTIONS, 0.0) for x in arrays]


def of_values(dtype, name, size, seed):
    """Numbers whose sum depends on the order in which they are added."""
    rng = np.random.default_rng(seed)
    if name == "normal":
        return rng.normal(size=size).astype(dtype)
    return harness.decades(dtype, size, seed)


def hold(arrays, where):
    wanted = loop.run(reducing(), leaves(arrays))
    for backend in harness.BACKENDS:
        harness.compare(harness.run(backend, reducing(), leaves(arrays)), wanted, f"{where} {backend}")
    return wanted


def test_the_tile_and_the_lanes_are_the_same_everywhere():
    from samestep_numba import printer

    assert (TILE, LANES) == (compiled.TILE, printer.LANES) == (loop.TILE, loop.LANES) == (65536, 256)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("values", ["normal", "decades"])
def test_small_sizes(values, dtype):
    hold([of_values(dtype, values, size, size) for size in SIZES], values)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("threads", [1, 2])
def test_large_sizes(threads, dtype, monkeypatch):
    monkeypatch.setattr(compiled, "BREAK_EVEN", 0)
    with use_threads(threads):
        hold([of_values(dtype, "decades", size, size) for size in LARGE], f"{threads} threads")


def test_the_order_matters():
    """Else the tests above would hold of any sum."""
    x = of_values(np.float64, "normal", 1000, 0)
    assert len({loop.tiles_of_lanes(x.tolist()), float(np.sum(x)), sum(x.tolist()), float(np.cumsum(x)[-1])}) >= 3
    assert loop.tiles_of_lanes(x.tolist()) == pytest.approx(float(np.sum(x)), rel=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_infinities_and_nan(dtype):
    zero, inf, nan = 0.0, np.inf, np.nan
    rows = [[-zero], [zero, -zero], [-zero, zero], [-zero] * 300, [inf], [-inf, 1], [inf, -inf], [nan], [1, nan]]
    rows += [[nan, 1], [inf, nan, -inf], [-1, -zero], [-zero, 1, zero], [np.finfo(dtype).max] * 4]
    rows += [[np.finfo(dtype).smallest_subnormal] * 3, [-inf] * 300, [inf] * 300]
    for place in (0, 255, 256, 299, 511, 519):  # one of another kind, in every part of a lane
        for value in (nan, inf, -inf, 7.0, -7.0, -zero, zero):
            rows.append(np.where(np.arange(520) == place, value, -zero if value == 0 else 1.0))
    wanted = hold([np.array(row, dtype) for row in rows], "special")
    signs = [np.signbit(result[name]) for result in wanted for name in REDUCTIONS if result[name] == 0]
    assert len(signs) > 20 and not any(signs)  # whose zero it was is not told


@pytest.mark.parametrize("size", [LANES + 1, TILE + 3])
def test_special_values_in_another_tile(size):
    arrays = []
    for value in (np.nan, np.inf, -np.inf, -3.0, 1.5, 0.5):
        x = np.ones(size)
        x[-1] = value
        arrays.append(x)
    hold(arrays, "tail")


@pytest.mark.parametrize("dtype", FLOATS)
def test_any_shape_is_summed_in_the_order_of_c(dtype):
    x = of_values(dtype, "decades", 6000, 1)
    wanted = loop.tiles_of_lanes(x.tolist())
    for shape in [(6000,), (60, 100), (2, 3, 1000), (1, 6000, 1)]:
        for array in (np.reshape(x, shape), np.asfortranarray(np.reshape(x, shape))):
            assert Pinned(array_namespace(array)).sum(array) == wanted
        hold([np.reshape(x, shape)], str(shape))


def test_a_scalar_and_nothing():
    for xp, make in ((array_namespace(np.ones(1)), np.asarray), (array_api_strict, array_api_strict.asarray)):
        pinned = Pinned(xp)
        assert pinned.sum(make(2.5)) == 2.5 and pinned.sum_squares(make(2.5)) == 6.25 and pinned.numel(make(2.5)) == 1
        empty = make(np.empty((0, 3)))
        assert (pinned.sum(empty), pinned.count_nonzero(empty), pinned.numel(empty)) == (0, 0, 0)
        assert (pinned.max(empty), pinned.min(empty)) == (-np.inf, np.inf)


@pytest.mark.parametrize("dtype", FLOATS)
def test_squares_are_taken_in_float64(dtype):
    x = np.full(3, 1e30, dtype)
    assert np.isfinite(Pinned(array_namespace(x)).sum_squares(x)) and np.isinf(
        np.float32(1e30) ** 2 if False else np.inf
    )
    hold([x, np.full(3, 1e-30, dtype)], "squares")


@pytest.mark.parametrize("name", ["sum", "mean", "max", "min"])
def test_over_axes(name):
    x = harness.decades(np.float32, 60, 3).reshape(3, 4, 5)
    x[0, 0] = -0.0
    for axes, keepdims in [((0,), True), ((-1,), False), ((0, 2), True), ((0, 1, 2), False)]:
        found = Pinned(array_namespace(x)).over_axes(name, x, (axes, keepdims))
        wanted = getattr(np, name)(x.astype(np.float64), axis=axes, keepdims=keepdims).astype(np.float32) + np.float32(
            0
        )
        harness.same_bits(found, wanted, f"{name} {axes}")
        strict = array_api_strict.asarray(x)
        harness.same_bits(Pinned(array_api_strict).over_axes(name, strict, (axes, keepdims))._array, wanted, "strict")
