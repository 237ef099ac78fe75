"""What is optimized: lists of float32 arrays with the shapes of real uses."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Arrays = list[NDArray[np.floating]]


@dataclass(frozen=True)
class Workload:
    """So many arrays of each shape."""

    name: str
    counts: tuple[tuple[int, tuple[int, ...]], ...]

    def shapes(self) -> Iterator[tuple[int, ...]]:
        for count, shape in self.counts:
            yield from (shape for _ in range(count))

    @property
    def leaves(self) -> int:
        return sum(count for count, _ in self.counts)

    @property
    def elements(self) -> int:
        return sum(count * math.prod(shape) for count, shape in self.counts)

    def arrays(self, seed: int) -> Arrays:
        """Standard normal float32 arrays of these shapes."""
        rng = np.random.default_rng(seed)
        return [rng.standard_normal(shape, dtype=np.float32) for shape in self.shapes()]


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("one", ((1, (20_000_000,)),)),
        Workload("transformer", ((48, (768, 768)), (100, (768,)))),
        Workload("small", ((1000, (64,)),)),
    )
}


def parse(text: str) -> Workload:
    """A workload by its name, or written out as COUNT:SHAPE, COUNT:SHAPE, ...

    >>> parse("3:64,1:8x16").counts
    ((3, (64,)), (1, (8, 16)))
    """
    if text in WORKLOADS:
        return WORKLOADS[text]
    counts = []
    for group in text.split(","):
        count, _, shape = group.partition(":")
        counts.append((int(count), tuple(int(size) for size in shape.split("x"))))
    if any(count < 1 or min(shape) < 1 for count, shape in counts):
        raise ValueError(f"{text!r} has an empty group")
    return Workload(text, tuple(counts))
