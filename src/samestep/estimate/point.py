"""The params of an estimate: moved along directions for the loss, which gives numbers, which weigh the directions.

What is known is computed in Python floats and NumPy's float64, so that it is the same for every library; what a trace
does not know is float64 of that library. The loss and the noise are called as they would be outside.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np

from .. import checks, libraries
from .. import params as trees
from ..arguments import fitted
from ..dtypes import COMPLEX, COMPUTE, name
from ..errors import HyperparameterError, LeafError, where
from ..evaluate import library
from ..hypers import declared

Number = Any  # a float, or a 0-d float64 array where it cannot be known
Direction = Sequence[Any]  # an array for each leaf in its compute dtype, or None


def estimator(function: Callable[..., Any]) -> Callable[..., Any]:
    """Check what the signature says of the arguments: functions can be called, numbers lie in their domains."""
    signature = inspect.signature(function, eval_str=True)
    hypers = {
        p.name: declared(p.name, p.default, p.annotation)
        for p in signature.parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    functions = [p.name for p in signature.parameters.values() if p.annotation is Callable]

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        given = fitted(function.__name__, signature, args, kwargs).arguments
        for key in functions:
            if not callable(given[key]):
                raise HyperparameterError(f"{key} is a function; got {given[key]!r:.80}: write lambda ...: ...")
        for key in hypers.keys() & given.keys():
            hyper, value = hypers[key], given[key]
            if not libraries.deferred(value) and not (value is None and hyper.optional):
                given[key] = hyper.check_number(value) if hyper.number else hyper.check(value)
        return function(**given)

    return checked


class Point:
    """Params, leaf by leaf. They are never written to."""

    def __init__(self, params: Any) -> None:
        self.leaves, self.spec = trees.flatten(params)
        self.paths = trees.paths(self.spec)
        checks.leaves(self.paths, self.leaves)
        for path, p in zip(self.paths, self.leaves, strict=True):
            if name(p) in COMPLEX:
                raise LeafError(
                    f"{where(path)} of the params is {name(p)}: an estimate takes real params; pass the real and the "
                    "imaginary part as two leaves"
                )
        self.library = libraries.of_leaves(self.leaves)

    @contextmanager
    def working(self, *values: Any) -> Iterator[None]:
        """Around all arithmetic; not around the loss, which is the caller's."""
        with libraries.context(self.leaves, libraries.arrays(values)), np.errstate(all="ignore"):
            yield

    # -- numbers ---------------------------------------------------------
    def number(self, value: Any, what: str) -> Number:
        """What a loss gives, as a number."""
        rule = f"the {what} must give one real number"
        if getattr(value, "shape", ()) != ():
            raise HyperparameterError(f"{rule}; got the shape {tuple(value.shape)}: take the mean or the sum")
        if not isinstance(value, Real) and (not hasattr(value, "dtype") or name(value) in COMPLEX):
            raise HyperparameterError(f"{rule}; got {value!r:.80}")
        if not libraries.deferred(value):
            return float(value)
        if self.leaves and library(value) != library(self.leaves[0]):
            raise HyperparameterError(
                f"the {what} gave an array of {library(value)} that cannot be known now, for params of "
                f"{library(self.leaves[0])}: give a plain number, or params of that library"
            )
        with self.working(value):
            xp = over(value)
            return xp.astype(value, xp.float64)

    def vector(self, numbers: Sequence[Number]) -> tuple[Any, Any]:
        """A namespace, and the numbers as one float64 array of it: NumPy's, if all are known."""
        unknown = next((x for x in numbers if hasattr(x, "dtype")), None)
        if unknown is None:
            return np, np.asarray(numbers, dtype=np.float64)
        xp = over(unknown)
        return xp, xp.stack([x if hasattr(x, "dtype") else xp.asarray(x, dtype=xp.float64) for x in numbers])

    def sums(self, arrays: Direction, squared: bool = False) -> list[Number]:
        """The sum of each array, or of its squares, in the pinned order; 0 of None."""
        found: list[Number] = []
        for x in arrays:
            if x is None:
                found.append(0.0)
                continue
            deferred = self.library.defers([x])
            pinned = self.library.inline(x)[1] if deferred else self.library.pinned(libraries.namespace(x))
            found.append(pinned.sum_squares(x) if squared else pinned.sum(x))
        return found

    def square(self, direction: Direction) -> Number:
        """The squared length, over all leaves."""
        return sum(self.sums(direction, squared=True), 0.0)

    # -- directions ---------------------------------------------------------
    def draw(self, noise: Callable, like: Direction | None = None) -> Direction:
        """One array of noise for each leaf, in their order; none where `like` has none."""
        drawn: list[Any] = [None] * len(self.leaves)
        for i, (path, p) in enumerate(zip(self.paths, self.leaves, strict=True)):
            if like is None or like[i] is not None:
                shape, u = tuple(p.shape), noise(tuple(p.shape))
                u = np.asarray(u) if isinstance(u, Real) and not hasattr(u, "dtype") else u
                if not hasattr(u, "dtype") or tuple(u.shape) != shape:
                    got = f"the shape {tuple(u.shape)}" if hasattr(u, "dtype") else f"{u!r:.80}"
                    raise LeafError(f"{where(path)}: noise(shape) must give an array of the shape {shape}; got {got}")
                if library(u) not in ("numpy", library(p)):
                    raise LeafError(
                        f"{where(path)}: the noise is an array of {library(u)}, its param of {library(p)}: draw it "
                        "with that library, or with NumPy"
                    )
                drawn[i] = u
        with self.working(drawn):
            return [None if u is None else self.own(u, p) for u, p in zip(drawn, self.leaves, strict=True)]

    def tree(self, tree: Any, what: str) -> Direction:
        """A nesting like the params, such as their gradients."""
        given = trees.match(self.spec, tree, what)
        checks.grads(self.paths, self.leaves, given)
        with self.working(given):
            return [None if g is None else self.own(g, p) for g, p in zip(given, self.leaves, strict=True)]

    def own(self, x: Any, p: Any) -> Any:
        """An array of the leaf's library or of NumPy as its arithmetic has it."""
        xp = libraries.namespace(p)
        if library(x) != library(p):
            x = xp.asarray(np.array(x, dtype=COMPUTE[name(p)]), device=self.library.device(p))
        dtype = getattr(xp, COMPUTE[name(p)])
        return x if x.dtype == dtype else over(x).astype(x, dtype)

    def times(self, number: Number, x: Any, p: Any) -> Any:
        """An array times a number, which is rounded first."""
        if hasattr(number, "dtype"):
            return over(number).astype(number, x.dtype) * x
        return libraries.namespace(p).asarray(number, dtype=x.dtype, device=self.library.device(p)) * x

    def moved(self, direction: Direction, size: Number = 1.0) -> list:
        """The leaves moved so far along a direction, in their own dtype."""
        return [
            p if d is None else self.rounded(self.own(p, p) + self.times(size, d, p), p)
            for p, d in zip(self.leaves, direction, strict=True)
        ]

    @staticmethod
    def rounded(x: Any, p: Any) -> Any:
        """In the dtype of the leaf."""
        xp = over(x)
        return xp.astype(xp.asarray(x), p.dtype)

    def value(
        self, loss: Callable, direction: Direction | None = None, size: Number = 1.0, what: str = "loss"
    ) -> Number:
        """The loss here, or so far along a direction."""
        leaves = self.leaves
        if direction is not None:
            with self.working(direction, size):
                leaves = self.moved(direction, size)
        return self.number(loss(trees.rebuild(self.spec, list(leaves))), what)

    def total(self, numbers: Any, directions: Sequence[Direction]) -> Direction:
        """The sum of directions, each times its number, added in their order."""
        numbers = numbers.tolist() if isinstance(numbers, np.ndarray) else [numbers[i] for i in range(len(directions))]
        found: list[Any] = list(directions[0])
        for i, (c, direction) in enumerate(zip(numbers, directions, strict=True)):
            for k, (d, p) in enumerate(zip(direction, self.leaves, strict=True)):
                if d is not None:
                    found[k] = self.times(c, d, p) if i == 0 else found[k] + self.times(c, d, p)
        return found

    def rebuild(self, direction: Direction) -> Any:
        """The nesting with these leaves."""
        arrays = [None if d is None else libraries.namespace(d).asarray(d) for d in direction]
        return trees.rebuild(self.spec, arrays)


def over(x: Any) -> Any:
    """The standard over an array, whose history is not lost."""
    return libraries.of(x).inline(x)[0] if libraries.deferred(x) else libraries.namespace(x)
