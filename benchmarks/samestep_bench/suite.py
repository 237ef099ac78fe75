"""One case at a time: put the contestants together, check them, time them."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from . import startup
from .floor import bytes_moved, floors
from .machine import Neighbours
from .measure import interleave
from .peers import assemble, check
from .rules import Rule
from .workloads import Workload

STARTUP = "startup"

Track = Callable[[Iterable[dict[str, float]]], Iterable[dict[str, float]]]


@dataclass(frozen=True)
class Case:
    """The seconds of every contestant in every round, and why others did not take part."""

    workload: str
    optimizer: str
    seconds: dict[str, list[float]]
    left_out: dict[str, str]
    leaves: int = 1
    elements: int = 64
    bytes: int = 0
    neighbours: float | None = None  # the share of the cores that other processes used meanwhile

    @property
    def floor(self) -> str | None:
        """The fastest of the tools that only move the bytes."""
        tools = [name for name in self.seconds if name.startswith("floor: ")]
        return min(tools, key=self.median, default=None)

    def median(self, contestant: str) -> float:
        return statistics.median(self.seconds[contestant])


def measure_workload(workload: Workload, rule: Rule, rounds: int, track: Track = iter) -> Case:
    """All peers and floors on one workload. `track` may show progress over the rounds."""
    params, grads = workload.arrays(seed=0), workload.arrays(seed=1)
    peers, no_peers = assemble(rule, params)
    check(rule, peers, params, grads)
    tools, no_tools = floors(rule, workload.elements)
    actions = {name: peer.step for name, peer in peers.items()} | tools
    neighbours = Neighbours()
    return Case(
        workload.name,
        rule.name,
        _columns(track(interleave(actions, rounds))),
        no_peers | no_tools,
        workload.leaves,
        workload.elements,
        bytes_moved(rule, workload.elements),
        neighbours.share(),
    )


def measure_startup(rounds: int, track: Track = iter) -> Case:
    """New processes, to the end of their first step."""
    left_out = startup.left_out()
    neighbours = Neighbours()
    seconds = {} if left_out else _columns(track(startup.interleave(rounds)))
    return Case(STARTUP, "adamw", seconds, left_out, neighbours=neighbours.share())


def _columns(rows: Iterable[dict[str, float]]) -> dict[str, list[float]]:
    columns: dict[str, list[float]] = {}
    for row in rows:
        for name, seconds in row.items():
            columns.setdefault(name, []).append(seconds)
    return columns
