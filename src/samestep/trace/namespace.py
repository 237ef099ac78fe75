"""The symbolic array namespace: what `array_namespace(u)` is while a page is traced.

A page runs on symbols, once; what comes out is a graph. What the tracer does not know it refuses by name.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import array_api_compat

from ..errors import TraceError
from . import floats
from .graph import Graph, Kind, Node, Rank
from .linalg import Linalg
from .ops import ELEMENTWISE, wanted_truths
from .shapes import Shape, Shapes

STATIC = ("const", "ndim", "dim", "size")  # known from the shape of a leaf alone


class Tracer:
    """One trace: the graph, the leaf it is traced for, and what the pages asked of its shape."""

    def __init__(self, shape: tuple[int, ...], floors: Mapping[tuple, int] | None = None) -> None:
        self.graph = Graph()
        self.shape = shape
        self.floors = floors or {}  # the level that a total must wait for, because other leaves get there later
        self.questions: dict[Node, Any] = {}
        self.totals: dict[Node, tuple] = {}
        self.scope: tuple = ()  # set by the chain: whose totals these are
        self.namespace = Namespace(self)

    def symbol(self, value: Any) -> Symbol:
        """The symbol of a symbol, a number or a truth value."""
        if isinstance(value, Symbol):
            if value.tracer is not self:
                raise TraceError("a symbol of another trace was kept: a page must not store what it is called with")
            return value
        if isinstance(value, bool):
            return self.source("const", value, Kind(Rank.HOST, truth=True))
        if isinstance(value, int | float):
            return self.source("const", float(value), Kind(Rank.HOST))
        raise TraceError(
            f"a page computes with its arguments and with numbers; got {type(value).__name__}: {value!r}. "
            "Write a keyword-only hyperparameter or a slot instead."
        )

    def source(self, op: str, attr: Any, kind: Kind, *args: Symbol) -> Symbol:
        """A symbol for a source node."""
        return Symbol(self, self.graph.source(op, attr, kind, tuple(a.node for a in args)))

    def apply(self, op: str, *args: Any, attr: Any = None) -> Symbol:
        """A symbol for an operation."""
        nodes = [self.symbol(a).node for a in args]
        truths = [node.kind.truth for node in nodes]
        if truths != wanted_truths(op, truths):
            got = " and ".join("a condition" if truth else "a number" for truth in truths)
            raise TraceError(
                f"{op} of {got}: a comparison makes a condition of numbers, "
                "xp.where(condition, a, b) or xp.count_nonzero(condition) a number of conditions"
            )
        return Symbol(self, self.graph.apply(op, *nodes, attr=attr))

    def reduce(self, name: str, x: Symbol) -> Symbol:
        """A reduction over the leaf; a sum of squares squares in float64, where float32 would overflow."""
        if name == "sum" and x.node.op == "multiply" and x.node.args[0] is x.node.args[1]:
            return self.apply("sum_squares", Symbol(self, x.node.args[0]))
        return self.apply(name, x)

    def total(self, value: Any, site: tuple) -> Symbol:
        """The sum over all leaves of one number per leaf; `site` is where the page asks, the same for every leaf."""
        value = self.symbol(value)
        if value.node.is_array:
            value = self.reduce("sum", value)
        key = (self.scope, site, sum(known[:2] == (self.scope, site) for known in self.totals.values()))
        node = self.graph.total(value.node, self.scope, self.floors.get(key, 0))
        self.totals.setdefault(node, key)
        return Symbol(self, node)

    def ask(self, node: Node) -> Any:
        """The value of a static node for this leaf, noted down as a question with its answer."""
        answer = self.questions[node] = static_value(node, self.shape)
        return answer


def static_value(node: Node, shape: tuple[int, ...]) -> Any:
    """What a node of the shape alone is worth for a leaf of this shape."""
    match node.op:
        case "const":
            return node.attr
        case "ndim":
            return len(shape)
        case "dim":
            assert isinstance(node.attr, int)
            return shape[node.attr]
        case "size":
            size = 1
            for dim in shape:
                size *= dim
            return size
    arguments = {f"a{i}": static_value(arg, shape) for i, arg in enumerate(node.args)}
    spelled = ELEMENTWISE[node.op].host.format(*arguments)  # type: ignore[union-attr]
    return eval(spelled, {**vars(floats), **arguments})  # a spelling of our own table


def is_static(node: Node) -> bool:
    """Whether the shape of the leaf alone decides the value."""
    if node.op in STATIC:
        return True
    return node.op in ELEMENTWISE and bool(node.args) and all(is_static(a) for a in node.args)


class Symbol:
    """What a page computes with: stands for a number or an array."""

    __slots__ = ("node", "tracer")
    __array_priority__ = 1000
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, tracer: Tracer, node: Node) -> None:
        self.tracer = tracer
        self.node = node

    def __array_namespace__(self, api_version: str | None = None) -> Namespace:
        return self.tracer.namespace

    def __repr__(self) -> str:
        return f"<symbol {self.node.op} {self.node.attr if self.node.attr is not None else ''}>"

    # what may be asked of a leaf: its rank, one comparison of its dimensions, its size
    @property
    def ndim(self) -> Symbol:
        self._own_shape("ndim")
        return self.tracer.source("ndim", None, Kind(Rank.LEAF))

    @property
    def shape(self) -> tuple[Symbol, ...]:
        return tuple(self.tracer.source("dim", i, Kind(Rank.LEAF)) for i in range(self.ndim))

    @property
    def size(self) -> Symbol:
        if not self.node.is_array:
            self._own_shape("size")
        if not self.node.kind.full:
            return self.tracer.apply("numel", self)
        return self.tracer.source("size", None, Kind(Rank.LEAF))

    def _own_shape(self, what: str) -> None:
        if not self.node.kind.full:
            raise TraceError(f"only an array of the leaf's own shape has .{what} in a page, as p has; this is {self!r}")

    @property
    def mT(self) -> Symbol:
        return self.tracer.apply("matrix_transpose", self)

    def __getattr__(self, name: str) -> Any:
        raise TraceError(
            f"a page cannot read .{name} of a symbol: it may read .ndim, .shape, .size and .mT, "
            "and everything else is a function of `array_namespace(u)`"
        )

    def __getitem__(self, index: Any) -> Symbol:
        index = index[0] if type(index) is tuple and index[1:] == (...,) else index  # [i, ...]: of more axes than one
        bounds = (index.start, index.stop, index.step) if isinstance(index, slice) else (index,)
        fixed = all(type(i) is int or (i is None and len(bounds) > 1) for i in bounds)
        if not self.node.is_array or self.node.kind.full or not fixed:
            raise TraceError(
                f"a page cannot index a symbol (got [{index!r}]): use xp.where, or a reduction over an axis. An array "
                "with axes of its own, not those of the leaf, has [2] and [1:] (or [2, ...]), along the first one"
            )
        text = ":".join("" if i is None else str(i) for i in bounds)
        return self.tracer.apply("index", self, attr=text)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TraceError(
            f"a page cannot write into a symbol (got [{index!r}] = ...): return the new value, made with xp.where"
        )

    def __iter__(self) -> Any:
        raise TraceError(
            "a page cannot loop over a symbol; it is one array, whatever its shape: write it for all of it"
        )

    # a symbol has no value, unless the shape of the leaf decides it
    def _static(self, asked: str) -> Any:
        if is_static(self.node):
            return self.tracer.ask(self.node)
        raise TraceError(
            f"{asked} of a traced value ({self!r}): a page runs once, before there are numbers. "
            "Write xp.where(condition, a, b) for a branch, xp.maximum for max, xp.sqrt for math.sqrt."
        )

    def __bool__(self) -> bool:
        return bool(self._static("the truth"))

    def __int__(self) -> int:
        return int(self._static("the integer"))

    __index__ = __int__

    def __float__(self) -> float:
        return float(self._static("the number"))

    def __pow__(self, other: Any) -> Symbol:
        if isinstance(other, int | float):  # correctly rounded forms, which a library's pow need not be
            if other == 1:
                return self
            if other == 2:
                return self.tracer.apply("multiply", self, self)
            if other == 0.5:
                return self.tracer.apply("sqrt", self)
        return self.tracer.apply("pow", self, other)

    def __rpow__(self, other: Any) -> Symbol:
        return self.tracer.apply("pow", other, self)

    def __pos__(self) -> Symbol:
        return self

    def __eq__(self, other: object) -> Symbol:  # type: ignore[override]
        return self.tracer.apply("equal", self, other)

    def __ne__(self, other: object) -> Symbol:  # type: ignore[override]
        return self.tracer.apply("not_equal", self, other)

    def __matmul__(self, other: Any) -> Symbol:
        return self.tracer.apply("matmul", self, other)


def _unary(op: str):
    return lambda self: self.tracer.apply(op, self)


def _binary(op: str):
    return lambda self, other: self.tracer.apply(op, self, other)


def _reflected(op: str):
    return lambda self, other: self.tracer.apply(op, other, self)


_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "and": "logical_and",
    "or": "logical_or",
}
for _name, _op in _BINARY.items():
    setattr(Symbol, f"__{_name}__", _binary(_op))
    setattr(Symbol, f"__r{_name}__", _reflected(_op))
for _name, _op in {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}.items():
    setattr(Symbol, f"__{_name}__", _binary(_op))
for _name, _op in {"neg": "negative", "abs": "abs", "invert": "logical_not"}.items():
    setattr(Symbol, f"__{_name}__", _unary(_op))


class Limits(NamedTuple):
    """What a page may ask of a dtype."""

    eps: Symbol


class Namespace(Shapes):
    """The functions of the standard that a page may call."""

    __array_api_version__ = "2024.12"
    __name__ = "samestep.trace.namespace"

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self.linalg = Linalg(tracer)

    def __getattr__(self, name: str) -> Any:
        if name in ELEMENTWISE and name != "full_like":
            arity = ELEMENTWISE[name].arity

            def function(*args: Any) -> Symbol:
                if len(args) != arity:
                    raise TraceError(f"xp.{name} takes {arity} argument(s) in a page, got {len(args)}")
                return self._tracer.apply(name, *args)

            return function
        known = sorted({*ELEMENTWISE, *(n for n in vars(Namespace) if not n.startswith("_")), "linalg"})
        raise TraceError(f"xp.{name} is not known to the tracer. Known: {', '.join(known)}")

    def square(self, x: Any) -> Symbol:
        """x * x."""
        return self._tracer.apply("multiply", x, x)

    def reciprocal(self, x: Any) -> Symbol:
        """1 / x."""
        return self._tracer.apply("divide", 1.0, x)

    def pow(self, x: Any, y: Any) -> Symbol:
        """x ** y."""
        return self._tracer.symbol(x) ** y

    def clip(self, x: Any, min: Any = None, max: Any = None) -> Symbol:
        """x held between min and max; nan stays."""
        x = self._tracer.symbol(x)
        x = x if min is None else self._tracer.apply("maximum", x, min)
        return x if max is None else self._tracer.apply("minimum", x, max)

    def zeros_like(self, x: Any) -> Symbol:
        """Zeros in the shape of x."""
        return self._tracer.apply("full_like", x, 0.0)

    def ones_like(self, x: Any) -> Symbol:
        """Ones in the shape of x."""
        return self._tracer.apply("full_like", x, 1.0)

    def full_like(self, x: Any, value: Any) -> Symbol:
        """One number in the shape of x."""
        if self._tracer.symbol(value).node.is_array:
            raise TraceError("xp.full_like takes a number to fill with, not an array")
        return self._tracer.apply("full_like", x, value)

    def finfo(self, x: Any) -> Limits:
        """The limits of the dtype of x, which is the parameter's, whatever it is computed in."""
        self._tracer.symbol(x)
        return Limits(self._tracer.source("epsilon", None, Kind(Rank.LEAF)))

    def sum(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Symbol:
        """The sum over the leaf (a float64 number, in the pinned order), or over axes."""
        return self._reduce("sum", x, axis, keepdims)

    def mean(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Symbol:
        """The mean over the leaf, or over axes."""
        if axis is None:
            x = self._tracer.symbol(x)
            return self._reduce("sum", x, None, keepdims) / x.size
        return self._reduce("mean", x, axis, keepdims)

    def max(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Symbol:
        """The largest entry of the leaf, or over axes; nan if one is nan."""
        return self._reduce("max", x, axis, keepdims)

    def min(self, x: Any, *, axis: Any = None, keepdims: bool = False) -> Symbol:
        """The smallest entry of the leaf, or over axes; nan if one is nan."""
        return self._reduce("min", x, axis, keepdims)

    def count_nonzero(self, x: Any) -> Symbol:
        """How many entries of the leaf are not zero."""
        return self._reduce("count_nonzero", x, None, False)

    def any(self, x: Any) -> Symbol:
        """Whether any entry of the leaf is true."""
        return self._tracer.apply("greater", self.count_nonzero(x), 0.0)

    def all(self, x: Any) -> Symbol:
        """Whether all entries of the leaf are true."""
        return self.count_nonzero(self._tracer.apply("logical_not", x)) == 0

    def _reduce(self, name: str, x: Any, axis: Any, keepdims: bool) -> Symbol:
        x = self._tracer.symbol(x)
        if not x.node.is_array:
            raise TraceError(f"xp.{name} reduces an array; {x!r} is a number already")
        if axis is None:
            return self._tracer.reduce(name, x)
        axes = tuple(operator.index(a) for a in axis) if isinstance(axis, Sequence) else (operator.index(axis),)
        return self._tracer.apply(f"{name}_axis", x, attr=(axes, bool(keepdims)))


def eye_like(x: Any, dim: Any) -> Any:
    """The identity matrix of one of the leaf's dimensions, in the dtype of x; for slots, which start on arrays too."""
    if isinstance(x, Symbol):
        return x.tracer.apply("eye", x, attr=Shape((dim,)))
    return array_api_compat.array_namespace(x).eye(dim, dtype=x.dtype, device=array_api_compat.device(x))


def sum_over_params(x: Any) -> Any:
    """The sum over all leaves of an array, or of one number per leaf: a float64 number, in leaf order.

    Args:
        x: an array (summed in each leaf in the pinned order first), or a number of the leaf.

    Raises:
        TraceError: x is no symbol: it belongs in a page.

    >>> import numpy as np, samestep as ss
    >>> @ss.gradient()
    ... def normalize(u):
    ...     xp = ss.array_namespace(u)
    ...     return {"u": u / xp.sqrt(ss.sum_over_params(u * u))}
    >>> opt, params = ss.chain(normalize(), ss.descend(1.0)), [np.zeros(1), np.zeros(1)]
    >>> opt.step(params, [np.array([3.0]), np.array([4.0])], opt.init(params))[0]
    [array([-0.6]), array([-0.8])]
    """
    if not isinstance(x, Symbol):
        raise TraceError(f"sum_over_params belongs in a page, on what the page is called with; got {type(x).__name__}")
    caller = sys._getframe(1)
    return x.tracer.total(x, (caller.f_code.co_filename, caller.f_code.co_qualname, caller.f_lasti))
