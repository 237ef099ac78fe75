"""What a page draws: numbers that depend on the seed, the step, the leaf's path and the element's place, and on nothing
else. No generator is stored, and neither the backend, nor threads, nor the order of leaves matters.
"""

from __future__ import annotations

from typing import Any

from ..errors import TraceError
from .graph import Kind, Rank
from .namespace import Symbol
from .words import HALF, WORDS, fold

MOST = 24  # bits that float32 holds
HALF_BITS = 16  # that rounding to a dtype of 16 bits takes


def random_bits(u: Any, t: Any, *, seed: Any, bits: int = 16, stream: str = "") -> Any:
    """Random whole numbers in [0, 2**bits), one for each element of an array.

    Args:
        u: an array, which gives the shape.
        t: the step: the `t` of the page.
        seed: an int of 64 bits, or a whole number that is a hyperparameter.
        bits: at most 24, so that every compute dtype holds them.
        stream: a word for each further draw in the same step; the same word gives the same numbers again.

    Raises:
        TraceError: u is no array of a page, seed is not whole, or bits are too many.

    >>> import numpy as np, samestep as ss
    >>> @ss.update()
    ... def draw(p, u, t, *, seed: int = 0):
    ...     return {"p": p + ss.random_bits(u, t, seed=seed)}
    >>> opt, params = ss.chain(draw(), ss.descend(0.0)), {"w": np.zeros(3)}
    >>> opt.step(params, params, opt.init(params))[0]["w"]
    array([35286., 47747., 48049.])
    """
    if type(bits) is not int or not 1 <= bits <= MOST:
        raise TraceError(f"random_bits gives 1 to {MOST} bits, which float32 holds exactly; got bits={bits!r}")
    return _draw(u, t, seed, stream, bits, 1)


def uniform(u: Any, t: Any, *, seed: Any, stream: str = "") -> Any:
    """Random numbers in [0, 1), multiples of 2**-24, one for each element of an array.

    Args:
        u, t, seed, stream: as for `random_bits`.

    Raises:
        TraceError: as for `random_bits`.

    >>> import numpy as np, samestep as ss
    >>> @ss.gradient()
    ... def dropped(u, t, *, rate: ss.unit = 0.5, seed: int = 0):
    ...     xp = ss.array_namespace(u)
    ...     return {"u": xp.where(ss.uniform(u, t, seed=seed) < rate, 0.0, u / (1 - rate))}
    >>> opt, params = ss.chain(dropped(), ss.descend(1.0)), {"w": np.zeros(5)}
    >>> opt.step(params, {"w": np.ones(5)}, opt.init(params))[0]["w"]
    array([-2., -2., -2., -2.,  0.])
    """
    return _draw(u, t, seed, stream, MOST, 1) * 2.0**-MOST


def normal(u: Any, t: Any, *, seed: Any, stream: str = "") -> Any:
    """Random numbers of mean 0 and variance 1, nearly normal, at most 4.9; exact, since they are sums of eight.

    Args:
        u, t, seed, stream: as for `random_bits`.

    Raises:
        TraceError: as for `random_bits`.

    >>> import numpy as np, samestep as ss
    >>> @ss.gradient()
    ... def shaken(u, t, *, size: ss.nonnegative = 0.1, seed: int = 0):
    ...     return {"u": u + size * ss.normal(u, t, seed=seed)}
    >>> opt, params = ss.chain(shaken(), ss.descend(1.0)), {"w": np.zeros(2)}
    >>> opt.step(params, params, opt.init(params))[0]["w"].round(4)
    array([-0.1029,  0.0366])
    """
    return (_draw(u, t, seed, stream, 16, 8) - 4.0 * (HALF - 1)) * 1.8688124e-05


def rounded(x: Any, bits: Any = None) -> Any:
    """The values as the parameter's dtype holds them; where that is the dtype of the arithmetic, the values themselves.

    Args:
        x: an array.
        bits: None rounds to nearest, ties to even. With 16 `random_bits`, of the two neighbours the one away from zero
            is taken where what is beyond the other, in 65536ths of their distance, makes 65536 with them.

    Raises:
        TraceError: x or bits is no array of a page, or the bits are not 16.

    >>> import numpy as np, samestep as ss
    >>> @ss.update()
    ... def stochastic(p, t, *, seed: int = 0):
    ...     return {"p": ss.rounded(p, ss.random_bits(p, t, seed=seed))}
    >>> opt, params = ss.chain(ss.descend(1.0), stochastic()), {"w": np.ones(5, np.float16)}
    >>> opt.step(params, {"w": np.full(5, -5e-4, np.float32)}, opt.init(params))[0]["w"]
    array([1.001, 1.001, 1.001, 1.001, 1.   ], dtype=float16)
    """
    tracer = _array("rounded", x).tracer
    if bits is None:
        return tracer.apply("rounded", x)
    node = _array("what rounded adds", bits).node
    if node.op == "random_bits" and node.attr != (HALF_BITS, 1):
        raise TraceError(f"rounded takes one draw of {HALF_BITS} bits, random_bits(...); got (bits, draws) {node.attr}")
    return tracer.apply("rounded_by", x, bits)


def _array(name: str, x: Any) -> Symbol:
    if not isinstance(x, Symbol) or not x.node.is_array:
        raise TraceError(f"{name} belongs in a page, on an array such as u or p; got {x!r:.80}")
    return x


def _draw(u: Any, t: Any, seed: Any, stream: str, bits: int, draws: int) -> Any:
    """For each element the sum of some numbers of so many bits, each from a word of its own or a part of one."""
    tracer = _array("a random number", u).tracer
    if type(seed) is not int and not isinstance(seed, Symbol):
        raise TraceError(f"seed is an int, or a hyperparameter that is a whole number; got {seed!r:.80}")

    def folded(k: Any, w: Any) -> Any:
        return fold(k, w) if type(k) is type(w) is int else tracer.apply("fold", k, w)

    key: Any = 0
    numbers: tuple[Any, Any] = seed, t - 1
    for number in numbers:
        for w in (number % WORDS, number // WORDS % WORDS):
            key = folded(key, w)
    key = folded(key, tracer.source("path", stream, Kind(Rank.LEAF)))
    halves = [half for k in (folded(key, 0), folded(key, 1)) for half in (k // HALF, k % HALF)]
    return tracer.apply("random_bits", u, *halves, attr=(bits, draws))
