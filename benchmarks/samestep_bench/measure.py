"""Time contestants side by side, and compare them round by round.

On a shared machine an absolute time says little, but two contestants timed within the same second meet the same
neighbours. So every round times all of them, in a new order, and what is reported is the median over rounds of the
ratio within a round, with a bootstrap interval.
"""

import gc
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

Action = Callable[[], object]

SAMPLE = 0.01  # seconds that one timed sample should last at least
MOST_REPEATS = 1000
SETTLE = 0.005  # seconds of rest before a sample, in which the spinning threads of the previous contestant fall asleep


@dataclass(frozen=True)
class Ratio:
    """The median of paired ratios and its 90 % interval."""

    median: float
    low: float
    high: float


def paired_ratio(
    numerator: Sequence[float], denominator: Sequence[float], *, resamples: int = 2000, seed: int = 0
) -> Ratio:
    """The ratio of two contestants that were timed in the same rounds.

    >>> paired_ratio([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    Ratio(median=2.0, low=2.0, high=2.0)
    """
    ratios = np.asarray(numerator, dtype=np.float64) / np.asarray(denominator, dtype=np.float64)
    picks = np.random.default_rng(seed).integers(ratios.size, size=(resamples, ratios.size))
    low, high = np.quantile(np.median(ratios[picks], axis=1), (0.05, 0.95))
    return Ratio(float(np.median(ratios)), float(low), float(high))


def interleave(
    actions: Mapping[str, Action], rounds: int, *, sample: float = SAMPLE, settle: float = SETTLE, seed: int = 0
) -> Iterator[dict[str, float]]:
    """Yield, for each round, the seconds that one call of each action took. All are warm before the first round."""
    with _no_garbage_collection():
        repeats = {name: _repeats(action, sample) for name, action in actions.items()}
    order = list(actions)
    shuffle = random.Random(seed).shuffle
    for _ in range(rounds):
        shuffle(order)
        with _no_garbage_collection():
            seconds = {name: _sample(actions[name], repeats[name], settle) for name in order}
        yield {name: seconds[name] for name in actions}


def _sample(action: Action, repeats: int, settle: float) -> float:
    time.sleep(settle)
    action()  # untimed: threads are awake and the caches are this contestant's own, whoever came before
    return _time(action, repeats)


def _repeats(action: Action, sample: float) -> int:
    action()
    once = min(_time(action, 1) for _ in range(3))
    return min(MOST_REPEATS, max(1, math.ceil(sample / once)))


def _time(action: Action, repeats: int) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        action()
    return (time.perf_counter() - start) / repeats


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """As timeit does: a collection would be charged to whoever happens to trigger it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
