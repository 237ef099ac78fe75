"""What the array standard does not say of a library, and a step has to know."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import array_api_compat
import numpy as np
import optree

from . import params as trees
from .backend import installed
from .pinned import Deferred, Pinned
from .trace.python import PYTHON


class Parts:
    """How the leaves of one program lie in an inline step: here, each of them in one piece."""

    def enter(self, arrays: dict[str, list]) -> dict[str, list]:
        """The arrays by name as the step computes with them."""
        return arrays

    def join(self, ops: Sequence[str], found: list[Sequence[Any]]) -> list[Sequence[Any]]:
        """The reductions of each leaf out of those of what has entered; `ops` says which they are."""
        return found

    def leave(self, new: list, old: list) -> list:
        """New arrays as the old ones lie."""
        return new


class Library:
    """The answers for NumPy, and for any library that records nothing.

    A backend whose library needs others has an object of a subclass as its attribute `library`.
    """

    def owns(self, array: Any) -> bool:
        """Whether this is about arrays like this one: a backend may accept those of others too."""
        return True

    def namespace(self, array: Any) -> Any:
        """The standard over such arrays; what it makes of one records nothing."""
        return array_api_compat.array_namespace(array)

    def pinned(self, xp: Any) -> Pinned:
        """The reductions whose order is pinned, over this namespace."""
        return Pinned(xp)

    def quiet(self) -> AbstractContextManager:
        """The context of everything that a verb does: operators record nothing in it either."""
        return nullcontext()

    def defers(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """Whether a number made of these may be unknown now: one of them is traced, recorded or lazy.

        `params` are those of a step, which may be told apart: to require a gradient is not to be recorded.
        """
        return False

    def records(self, values: Iterable[Any], params: Iterable[Any] = ()) -> bool:
        """Whether what is made of these is recorded for derivatives: then nothing is `quiet`, and nothing donated."""
        return False

    def carry(self, number: Any) -> Any:
        """A known number of a state that is made of what is deferred, as a transformation lets it out."""
        return number

    def inline(self, array: Any) -> tuple[Any, Pinned]:
        """The namespace and the reductions for a step of what is deferred; nothing in them asks for a value.

        The array is the count where it is one, else the first param.
        """
        xp = self.namespace(array)
        return xp, Deferred(xp)

    @property
    def spelling(self) -> Mapping[str, str]:
        """How the operations of an inline step are written over its namespace."""
        return PYTHON

    @property
    def numbers(self) -> Mapping[str, str]:
        """How those on single numbers are."""
        return self.spelling

    @property
    def real(self) -> str:
        """The dtype in which a number that is not known leaves an inline step."""
        return "float64"

    def alike(self, new: Any, old: Any) -> Any:
        """A result of an inline step, with what the array or number before it had beside its value."""
        return new

    def laid(self, new: Any, old: Any) -> Any:
        """A new array, laid out in memory as the old one: where products round by that, so do steps in place."""
        return new

    def put(self, new: Any, old: Any) -> Any:
        """The new array of an inline step, in the place of the donated old one where arrays can be written."""
        return new

    def wide(self) -> AbstractContextManager:
        """The context of an inline step: float64 is float64 in it."""
        return nullcontext()

    def parts(self, params: Sequence[Any], whole: bool) -> Parts:
        """How these lie. `whole`: the program reads an array as such, not element by element and in sums."""
        return Parts()

    def refuses(self, arrays: Sequence[Any], role: str) -> tuple[int, str] | None:
        """The first array that no step can take, as one that asks for a step that is recorded, and why.

        `role` is "param", "gradient" or "slot"; where a gradient is missing there is None.
        """
        return None

    def kind(self, array: Any) -> Any:
        """What of an array, beside shape and dtype, decides which backend runs it; hashable."""
        return type(array)

    def device(self, array: Any) -> Any:
        """Where new arrays go that are to lie with this one."""
        return array_api_compat.device(array)

    def memory(self, array: Any) -> np.ndarray | None:
        """Its memory as NumPy sees it, the dtype one of the same size; None where it does not."""
        if isinstance(array, np.ndarray):
            return array
        try:
            return np.from_dlpack(array)
        except Exception:  # on another device, or of a dtype that NumPy lacks: then only its identity is known
            return None

    def rows(self, gradient: Any) -> tuple[Any, Any] | None:
        """The indices and the values of one that is sparse in its first axis, duplicates and all; of others None."""
        return None

    def host(self, array: Any) -> np.ndarray:
        """Its values as NumPy has them."""
        memory = self.memory(array)
        return np.from_dlpack(array_api_compat.to_device(array, "cpu")) if memory is None else memory

    def take_rows(self, array: Any, index: np.ndarray) -> Any:
        """These rows in an array of their own; behind them it may have others, all zeros."""
        xp = self.namespace(array)
        return xp.take(array, self.rows_from(index, array), axis=0)

    def put_rows(self, array: Any, index: np.ndarray, new: Any, donate: bool) -> Any:
        """The array with other rows, as `take_rows` or `rows_from` made them, here; in place if it is donated."""
        if not donate or not array_api_compat.is_writeable_array(array):
            array = self.namespace(array).asarray(array, copy=True)
        array[self.rows_from(index, array)] = new
        return array

    def rows_from(self, values: np.ndarray, like: Any) -> Any:
        """Rows out of NumPy where an array lies; behind them there may be others, all zeros."""
        return self.namespace(like).asarray(values, device=self.device(like))

    def joined(self, pairs: Any, old: Any, donate: bool) -> Any:
        """Pairs of reals as complex numbers, in the place of an old array; None where that goes by way of the host."""
        return None

    def widest(self, count: Any) -> Any:
        """A count as a float, of the widest dtype that there is."""
        xp = self.namespace(count)
        return xp.astype(count, xp.float64)

    def locked(self, array: Any) -> str | None:
        """Why an array of this library cannot be written to, though it looks as if it could, or None."""
        return None

    def keep(self, new: list, old: Sequence[Any]) -> None:
        """Give new params what the old ones had beside values, in the list; some may be the old ones themselves."""


STANDARD = Library()


def of(array: Any) -> Library:
    """The library of an array."""
    if isinstance(array, np.ndarray | np.generic):
        return STANDARD
    backend: Any
    for backend in installed():
        if hasattr(type(backend), "library") and backend.accepts(array) and backend.library.owns(array):
            return backend.library
    return STANDARD


def of_leaves(leaves: Sequence[Any]) -> Library:
    """The library of the first array among leaves."""
    return next((of(leaf) for leaf in leaves if hasattr(leaf, "dtype")), STANDARD)


@contextmanager
def context(params: Sequence[Any], values: Iterable[Any]) -> Iterator[bool]:
    """What a verb does in: whether it is recorded for derivatives, of which there is no trace where it is not."""
    library = of_leaves(params)
    recorded = library.records(values, params)
    with library.wide(), nullcontext() if recorded else library.quiet():
        yield recorded


def carried(library: Library, numbers: Any) -> Any:
    """A nesting in which those that are known are as a transformation lets them out."""
    return optree.tree_map(lambda x: library.carry(x) if isinstance(x, int | float) else x, numbers)


def arrays(*values: Any) -> list:
    """Everything in these trees that may be an array."""
    return optree.tree_leaves(values, namespace=trees.NAMESPACE)  # type: ignore[arg-type]


def namespace(array: Any) -> Any:
    """The standard over the library of an array."""
    return of(array).namespace(array)


def deferred(value: Any) -> bool:
    """Whether this stands for a number that may be unknown now."""
    return not isinstance(value, int | float) and of(value).defers([value])
