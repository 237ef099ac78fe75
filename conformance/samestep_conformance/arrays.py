"""What every check starts from: params, gradients with all that is awkward, and the way to a backend's arrays."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Any

import array_api_compat
import numpy as np
import optree

import samestep as ss
from samestep import backend as backends
from samestep import libraries

from .bits import LeftOut

Shapes = dict[str, tuple[int, ...]]
Gradients = Callable[[int], dict[str, Any]]

SHAPES: Shapes = {
    "matrix": (24, 18),
    "bias": (7,),
    "scalar": (),
    "empty": (0, 3),
    "lanes": (300,),
    "quiet": (5,),
}
SMALL: Shapes = {"matrix": (5, 4), "bias": (7,), "scalar": (), "empty": (0, 3), "quiet": (5,)}
FEW: Shapes = {"matrix": (5, 4), "bias": (7,), "scalar": ()}
LONG: Shapes = {"matrix": (24, 18), "quiet": (5,)}  # many entries, and few leaves, which are what a step costs
CORNERS: Shapes = {"scalar": (), "one": (1,), "empty": (0, 3), "none": (0,)}
FACTORED: Shapes = {"matrix": (12, 9), "wide": (4, 6), "bias": (7,)}


def params(dtype: str, shapes: Shapes = SHAPES) -> dict[str, np.ndarray]:
    """The params that every check starts from. bfloat16, which NumPy lacks, is float32 of which the last bits are 0."""
    rng = np.random.default_rng(11)
    return {leaf: _cut(np.asarray(rng.uniform(-1, 1, shape), held(dtype)), dtype) for leaf, shape in shapes.items()}


def held(dtype: str) -> str:
    """The NumPy dtype that stands for it."""
    return "float32" if dtype == "bfloat16" else dtype


def subnormal(dtype: str) -> float:
    """One of some bits, so that a tenth of it is one too."""
    return float(np.finfo(held(dtype)).smallest_normal) / 8


def _tiny(dtype: str) -> float:
    """The smallest one."""
    if dtype == "bfloat16":
        return float(np.finfo(np.float32).tiny) * 2.0**-7
    return float(np.finfo(dtype).smallest_subnormal)


def _cut(x: np.ndarray, dtype: str) -> np.ndarray:
    return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32) if dtype == "bfloat16" else x


def gradients(dtype: str, shapes: Shapes = SHAPES, bad_from: int | None = None, subnormals: bool = True) -> Gradients:
    """Gradients of step t: zeros of both signs, subnormals, 1e-30, 1e30; infinities and NaN from step `bad_from` on.

    Without subnormals there is none among the gradients, and hardly any arises.
    """
    least = _tiny(dtype) if subnormals else 1e-12
    special = [0.0, -0.0, least, -least * 7, 1e-30 if subnormals else 0.0, -1e30]

    def at(t: int) -> dict[str, np.ndarray]:
        rng = np.random.default_rng([12, t])
        found = {}
        for leaf, shape in shapes.items():
            g = np.asarray(rng.standard_normal(shape) * 10.0 ** rng.integers(-6, 3, shape), held(dtype))
            flat = g.reshape(-1)
            if flat.size > 1:
                with np.errstate(over="ignore", under="ignore"):
                    flat[rng.integers(0, flat.size, 1 + flat.size // 12)] = special[t % len(special)]
            if bad_from is not None and t >= bad_from and flat.size > 3:
                flat[t % 3] = [np.inf, -np.inf, np.nan][t % 3]
            if leaf == "quiet":  # nothing but subnormals, so that the state has some too
                g = (np.arange(1, flat.size + 1) * (least * 5)).reshape(shape).astype(held(dtype))
            found[leaf] = _cut(g, dtype)
        return found

    return at


@dataclass(frozen=True)
class Feed:
    """Which gradients a check feeds: as `gradients` makes them, all of one value in steps 2 and 3, none for a leaf yet.

    Tame ones are at most 10, unless infinite: of others, a product of matrices leaves no digit to compare, and a second
    moment becomes infinite in float32, so that nothing moves any more.
    """

    bad_from: int | None = None
    subnormals: bool = True
    constant: float | None = None
    late: tuple[str, int] | None = None  # a leaf, and the step in which it gets its first gradient
    tame: bool = False

    def __call__(self, dtype: str, shapes: Shapes) -> Gradients:
        """The gradients of each step, made once; not to be written to."""
        return _made(self, dtype, tuple(shapes.items()))

    def make(self, dtype: str, shapes: Shapes) -> Gradients:
        """The gradients of each step."""
        usual = gradients(dtype, shapes, self.bad_from, self.subnormals)

        def at(t: int) -> dict[str, Any]:
            found: dict[str, Any] = usual(t)
            if self.constant is not None and t in (2, 3):
                found = {leaf: np.full_like(g, self.constant) for leaf, g in found.items()}
            if self.tame:
                found = {leaf: np.where(np.isfinite(g), np.clip(g, -10, 10), g) for leaf, g in found.items()}
            if self.late is not None and t < self.late[1]:
                found[self.late[0]] = None
            return found

        return at


@lru_cache(maxsize=32)
def _made(feed: Feed, dtype: str, shapes: tuple) -> Gradients:
    return cache(feed.make(dtype, dict(shapes)))


def wide(backend: str) -> AbstractContextManager:
    """The context in which the library of a backend has float64."""
    found = backends.load(backend)
    return found.wide() if hasattr(found, "wide") else nullcontext()


def asked(backend: str | None, arrays: str | None = None) -> AbstractContextManager:
    """The context in which a check runs its backend, on the arrays of another one's library if `arrays` names one."""
    stack = ExitStack()
    if arrays or backend:
        stack.enter_context(wide(arrays or backend or "numpy"))
    if backend is not None:
        stack.enter_context(ss.use_backend(backend))
    return stack


def moved(tree: Any, backend: str, dtype: str | None = None) -> Any:
    """NumPy arrays as arrays of the backend's library, every one a copy; bfloat16 if `dtype` says so."""
    xp = backends.load(backend).arrays()

    def one(x: Any) -> Any:
        if not isinstance(x, np.ndarray | np.generic):
            return x
        if dtype != "bfloat16":
            return xp.asarray(np.array(x))
        if xp is np:
            return np.array(x).astype(_bfloat16())
        return xp.astype(xp.asarray(np.array(x)), xp.bfloat16)

    with wide(backend):
        return optree.tree_map(one, tree)


def _bfloat16() -> Any:
    if find_spec("ml_dtypes") is None:
        raise LeftOut("NumPy has no bfloat16: ml_dtypes is not installed")
    import ml_dtypes

    return ml_dtypes.bfloat16


def host(tree: Any) -> Any:
    """Arrays of any library as NumPy copies, bfloat16 as the same numbers in float32; numbers stay."""
    known: dict[type, libraries.Library] = {}

    def one(x: Any) -> Any:
        if isinstance(x, int | float) or (type(x) is np.ndarray and x.dtype.kind != "V"):
            return x if isinstance(x, int | float) else x.copy()
        if str(x.dtype).endswith("bfloat16"):
            xp = libraries.namespace(x)
            x = x.astype("float32") if isinstance(x, np.ndarray) else xp.astype(x, xp.float32)
        if isinstance(x, np.ndarray | np.generic):
            return np.array(x)
        if type(x) not in known:
            known[type(x)] = libraries.of(x)
        seen = known[type(x)].memory(x)
        return np.array(_fetched(x) if seen is None else seen)

    return optree.tree_map(one, tree)


def _fetched(x: Any) -> np.ndarray:
    """From a device; from a lazy library, which computes it now."""
    with _unwarned():
        return np.asarray(array_api_compat.to_device(x, "cpu"))


def settled(tree: Any) -> Any:
    """What a lazy library has put off is computed, as its users do after a step: else each goes back to the first."""
    leaves, spec = optree.tree_flatten(tree)
    first = next((x for x in leaves if hasattr(x, "dtype")), None)
    backend = None if isinstance(first, np.ndarray) else lazy(first)
    if backend is None:
        return tree
    with _unwarned():
        return optree.tree_unflatten(spec, list(backend.settle(leaves)))


def lazy(array: Any) -> Any:
    """The backend that says how to compute arrays like this one, if their library puts that off."""
    return next((b for b in backends.installed() if hasattr(b, "settle") and b.accepts(array)), None)


@contextmanager
def _unwarned() -> Iterator[None]:
    """Lazy libraries compute on threads of their own, where NumPy warns of infinities, which are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield
