"""The hash behind random numbers: words of 32 bits, made of a key and a place alone, with no state.

Written once for Python ints and for arrays of integers; `word` makes a constant of their kind. Products keep their low
32 bits in any integer dtype of at least 32: what is wider is masked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

WORDS = 1 << 32
HALF = 1 << 16  # a word reaches kernels as two halves: each is exact in every compute dtype

Word = Callable[[int], Any]


def mix(x: Any, word: Word = int) -> Any:
    """A bijection of words in which every bit depends on every bit."""
    mask = word(WORDS - 1)
    x = x ^ (x >> 16)
    x = x * word(0x21F0AAAD) & mask
    x = x ^ (x >> 15)
    x = x * word(0xD35A2D97) & mask
    return x ^ (x >> 15)


def fold(k: Any, w: Any, word: Word = int) -> Any:
    """The key k with the word w taken in."""
    return mix((k + word(0x9E3779B9) & word(WORDS - 1)) ^ mix(w, word), word)


def word_at(place: Any, k0: Any, k1: Any, word: Word = int) -> Any:
    """The word at a place below 2**32. Beyond it k1 is `fold(k1, place >> 32)`, and the place is counted from there."""
    return mix(mix(place ^ k0, word) + k1 & word(WORDS - 1), word)


def per_element(bits: int, draws: int) -> int:
    """How many words an element has when so many numbers of so many bits are drawn for it."""
    return -(-draws // (32 // bits))


def cut(bits: int, draws: int) -> list[tuple[int, int]]:
    """Of each number that is drawn: its word, and by how much that is shifted. They are taken from the upper end."""
    each = 32 // bits
    return [(d // each, 32 - bits * (d % each + 1)) for d in range(draws)]


def folded(xp: Any, k: Any, w: Any) -> Any:
    """`fold` of words that float64 numbers hold, such as one for each leaf."""
    k, w = (xp.asarray(x, dtype=xp.int64) for x in (k, w))
    return xp.astype(fold(k, w, lambda c: xp.asarray(c, dtype=xp.int64)), xp.float64)
