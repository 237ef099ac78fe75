"""One row of what is proved against other people's code."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .oracles import Oracle


@dataclass(frozen=True)
class Case:
    """`ours` makes our optimizer from the namespace samestep, `theirs` is the same in another library.

    |a - b| <= tolerance * max(1, |a|) in every step. A tolerance above 1e-12 is an exception: `remark` then gives the
    other library's own error. `exceptions` are the problems of tests/test_problems.py on which another tolerance holds,
    or on which they are not compared (None), each with the reason.
    """

    name: str
    ours: Callable[[Any], Any]
    theirs: Oracle
    problem: str = "vector"
    tolerance: float = 1e-12
    remark: str = ""
    exceptions: Mapping[str, tuple[float | None, str]] = field(default_factory=dict)
