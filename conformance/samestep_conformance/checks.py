"""Checks of an optimizer on a backend: plain functions that raise `Difference`, for our tests and for anybody's.

An optimizer is any object with `init(params)` and `step(params, grads, state) -> (params, state)`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import optree

import samestep as ss
from samestep import libraries

Gradients = Callable[[int], dict[str, np.ndarray]]


class Difference(AssertionError):
    """A check failed; the message names the step, the leaf, and both values."""


SHAPES: dict[str, tuple[int, ...]] = {
    "matrix": (24, 18),
    "bias": (7,),
    "scalar": (),
    "empty": (0, 3),
    "lanes": (300,),
    "quiet": (5,),
}
FACTORED = {"matrix": (12, 9), "wide": (4, 6), "bias": (7,)}


def params(dtype: str, shapes: dict[str, tuple[int, ...]] = SHAPES) -> dict[str, np.ndarray]:
    """The params that every check starts from. bfloat16, which NumPy lacks, is float32 of which the last bits are 0."""
    rng = np.random.default_rng(11)
    return {leaf: _cut(np.asarray(rng.uniform(-1, 1, shape), _held(dtype)), dtype) for leaf, shape in shapes.items()}


def _held(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def _cut(x: np.ndarray, dtype: str) -> np.ndarray:
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) if dtype == "bfloat16" else x


def gradients(dtype: str, shapes: dict[str, tuple[int, ...]] = SHAPES, bad_from: int | None = None) -> Gradients:
    """Gradients of step t: zeros of both signs, subnormals, 1e-30, 1e30; infinities and NaN from step `bad_from` on."""
    info = np.finfo(_held(dtype))
    tiny = np.finfo(np.float32).tiny * 2.0**-7 if dtype == "bfloat16" else info.smallest_subnormal
    special = [0.0, -0.0, tiny, -tiny * 7, 1e-30, -1e30]

    def at(t: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([12, t])
        found = {}
        for leaf, shape in shapes.items():
            g = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 3, shape), _held(dtype))
            flat = g.reshape(-1)
            if flat.size > 1:
                with np.errstate(over="ignore", under="ignore"):
                    flat[rng.integers(0, flat.size, 1 + flat.size // 12)] = special[t % len(special)]
            if bad_from is not None and t >= bad_from and flat.size > 3:
                flat[t % 3] = [np.inf, -np.inf, np.nan][t % 3]
            if leaf == "quiet":  # nothing but subnormals, so that the state has some too
                g = (np.arange(1, flat.size + 1) * tiny * 5).reshape(shape).astype(_held(dtype))
            found[leaf] = _cut(g, dtype)
        return found

    return at


def moved(arrays: Any, backend: str, dtype: str | None = None) -> Any:
    """NumPy arrays as arrays of the backend's library, every one a copy; bfloat16 if `dtype` says so."""
    xp = ss.backend.load(backend).arrays()

    def one(x: np.ndarray) -> Any:
        if dtype != "bfloat16":
            return xp.asarray(np.array(x))
        if xp is np:
            import ml_dtypes

            return x.astype(ml_dtypes.bfloat16)
        return xp.astype(xp.asarray(np.array(x)), xp.bfloat16)

    return optree.tree_map(one, arrays)


def host(tree: Any) -> Any:
    """Arrays of any library as NumPy copies, bfloat16 as the same numbers in float32; numbers stay."""

    def one(x: Any) -> Any:
        if isinstance(x, int | float):
            return x
        if str(x.dtype).endswith("bfloat16"):
            xp = libraries.namespace(x)
            x = x.astype("float32") if isinstance(x, np.ndarray) else xp.astype(x, xp.float32)
        return np.array(x if isinstance(x, np.ndarray | np.generic) else libraries.of(x).memory(x))

    return optree.tree_map(one, tree)


def asked(backend: str | None) -> AbstractContextManager:
    """The context in which a check runs its backend."""
    return nullcontext() if backend is None else ss.use_backend(backend)


def run(
    optimizer: Any, backend: str | None, dtype: str, steps: int, grads: Gradients | None = None, *,
    shapes: dict[str, tuple[int, ...]] = SHAPES, donate: bool = False, arrays: str | None = None,
) -> Iterator[tuple[Any, Any]]:  # fmt: skip
    """Params and state after every step, as NumPy copies. `arrays`: run on those of that backend's library."""
    grads = grads or gradients(dtype, shapes)
    to = arrays or backend or "numpy"
    extra = {"donate": True} if donate else {}
    now = moved(params(dtype, shapes), to, dtype)
    with asked(backend):
        state = optimizer.init(now)
    for t in range(1, steps + 1):
        with asked(backend):  # not around the yield: a context would leak into whoever asks for the next step
            now, state = optimizer.step(now, moved(grads(t), to, dtype), state, **extra)
        yield host(now), host(state)


def identical(a: np.ndarray, b: np.ndarray) -> bool:
    """The same dtype, shape and bits; one NaN is as good as another."""
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    bits = np.ascontiguousarray(a).view(f"V{a.dtype.itemsize}") == np.ascontiguousarray(b).view(f"V{a.dtype.itemsize}")
    return bool(np.all(bits | (np.isnan(a) & np.isnan(b))))


def compare(a: Any, b: Any, t: int, what: str) -> None:
    """Two results of step t, leaf by leaf."""
    ours, spec = optree.tree_flatten(a, none_is_leaf=True)
    theirs, other = optree.tree_flatten(b, none_is_leaf=True)
    if spec != other:
        raise Difference(f"step {t}, {what}: the nestings differ: {spec} against {other}")
    for path, x, y in zip(spec.paths(), ours, theirs, strict=True):
        at = f"step {t}, {what}, leaf {'.'.join(map(str, path))!r}"
        if isinstance(x, np.ndarray) and isinstance(y, np.ndarray):
            if not identical(x, y):
                raise Difference(f"{at}: {_first(x, y)}")
        elif type(x) is not type(y) or not (x == y or (x != x and y != y)):
            raise Difference(f"{at}: {x!r} against {y!r}")


def _first(x: np.ndarray, y: np.ndarray) -> str:
    if x.dtype != y.dtype or x.shape != y.shape:
        return f"{x.dtype}{x.shape} against {y.dtype}{y.shape}"
    flat, other = x.reshape(-1), y.reshape(-1)
    wrong = [i for i in range(flat.size) if not identical(flat[i : i + 1], other[i : i + 1])]
    i = wrong[0]
    return f"{len(wrong)} of {flat.size} entries differ, the first at {i}: {flat[i]!r} against {other[i]!r}"


def same_bits(
    optimizer: Any, *backends: tuple[str, bool], reference: str = "numpy", dtype: str = "float32", steps: int = 200,
    bad_from: int | None = None, shapes: dict[str, tuple[int, ...]] = SHAPES, arrays: str | None = None,
) -> None:  # fmt: skip
    """Params and state are bit for bit those of the reference backend, in every step.

    `backends` are pairs (name, donate), run side by side; on the arrays of another backend's library if `arrays` names
    one.
    """
    grads = gradients(dtype, shapes, bad_from)
    given: dict[str, Any] = {"shapes": shapes, "arrays": arrays}
    runs = [run(optimizer, name, dtype, steps, grads, donate=donate, **given) for name, donate in backends]
    for t, theirs in enumerate(run(optimizer, reference, dtype, steps, grads, shapes=shapes), start=1):
        for (name, donate), ours in zip(backends, runs, strict=True):
            title = f"{name}{' in place' if donate else ''} against {reference}"
            for what, a, b in zip(("params", "state"), next(ours), theirs, strict=True):
                compare(a, b, t, f"{what} ({title})")


def matches_reference(optimizer: Any, theirs: Any, gradient: Callable, start: Any, *, tolerance: float = 1e-12) -> None:
    """|a - b| <= tolerance * max(1, |a|) against a recorded trajectory: params after each step.

    `gradient(params, t)` gives the gradient at our own params; `start` are the first params; float64 NumPy arrays.
    """
    now, state = start, optimizer.init(start)
    for t, expected in enumerate(theirs, start=1):
        now, state = optimizer.step(now, gradient(now, t), state)
        for leaf, a in expected.items():
            both = np.isnan(a) & np.isnan(now[leaf])
            error = np.where(both, 0.0, np.abs(a - now[leaf]) / np.maximum(1.0, np.abs(a))).max()
            if not error <= tolerance:
                raise Difference(f"step {t}, leaf {leaf!r}: off by {error:.1e}, more than {tolerance:.0e}")


def pure(
    optimizer: Any, backend: str | None = None, *, dtype: str = "float32", shapes: Any = SHAPES,
    arrays: str | None = None,
) -> None:  # fmt: skip
    """A step changes no input, and its results share no memory with an input or each other."""
    to = arrays or backend or "numpy"
    with asked(backend):
        now = moved(params(dtype, shapes), to)
        state = optimizer.init(now)
        for t in range(1, 4):
            grads = moved(gradients(dtype, shapes)(t), to)
            given = (now, grads, state)
            before = copy.deepcopy(host(given))
            result = optimizer.step(now, grads, state)
            compare(host(given), before, t, "inputs after the step, against before")
            everything: Any = (given, result)
            found = [libraries.of(x).memory(x) for x in optree.tree_leaves(everything) if hasattr(x, "dtype")]
            memories = [x for x in found if x is not None and x.size]
            for i, x in enumerate(memories):
                for y in memories[:i]:
                    if np.shares_memory(x, y):
                        raise Difference(f"step {t}: two of the inputs and results share memory")
            now, state = result


def donated_equals_fresh(optimizer: Any, backend: str, *, dtype: str = "float32", shapes: Any = SHAPES) -> None:
    """donate=True gives the same bits."""
    same_bits(optimizer, (backend, True), reference=backend, dtype=dtype, steps=20, shapes=shapes)


def resumes(optimizer: Any, backend: str | None = None, *, dtype: str = "float32", shapes: Any = SHAPES) -> None:
    """A copied state goes on as the state does."""
    to = backend or "numpy"
    grads = gradients(dtype, shapes)
    with asked(backend):
        now = moved(params(dtype, shapes), to)
        state = optimizer.init(now)
        for t in range(1, 6):
            now, state = optimizer.step(now, moved(grads(t), to), state)
        again, again_state = copy.deepcopy((now, state))
        for t in range(6, 11):
            now, state = optimizer.step(now, moved(grads(t), to), state)
            again, again_state = optimizer.step(again, moved(grads(t), to), again_state)
            compare(host((again, again_state)), host((now, state)), t, "resumed against going on")
