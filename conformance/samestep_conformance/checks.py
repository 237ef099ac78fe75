"""Checks of an optimizer on a backend: plain functions that raise `Difference`, for our tests and for anybody's.

An optimizer is any object with `init(params)` and `step(params, grads, state) -> (params, state)`. A check that does
not apply to it raises `LeftOut` with the reason; one that compares returns how far apart the results were. One of ours
whose step takes two gradients, `refresh` or a coin is fed them.
"""

from .against import STEPS_OF_LONG_RUNS, agrees, long_run, matches_golden, matches_reference, same_bits
from .alone import compiles_once, corners, donated_equals_fresh, keeps, pure, resumes, survives, wakes_late
from .arrays import FACTORED, SHAPES, SMALL, asked, gradients, host, moved, params
from .bits import Difference, LeftOut, equal, identical
from .runs import run

__all__ = [
    "FACTORED",
    "SHAPES",
    "SMALL",
    "STEPS_OF_LONG_RUNS",
    "Difference",
    "LeftOut",
    "agrees",
    "asked",
    "compiles_once",
    "corners",
    "donated_equals_fresh",
    "equal",
    "gradients",
    "host",
    "identical",
    "keeps",
    "long_run",
    "matches_golden",
    "matches_reference",
    "moved",
    "params",
    "pure",
    "resumes",
    "run",
    "same_bits",
    "survives",
    "wakes_late",
]
