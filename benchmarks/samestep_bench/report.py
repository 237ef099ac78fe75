"""What the seconds say: ratios, the reach they are held to, and the tables and JSON that show them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from .measure import Ratio, paired_ratio
from .startup import CACHED_KERNEL, FIRST_STEP
from .suite import STARTUP, Case

QUIET = 0.03  # the share of the cores that other processes may use before the report says so
DONATED, PURE, FLOOR = "samestep donated", "samestep pure", "floor"
COMPARISONS = (
    (FLOOR, DONATED),  # time of the floor over time of the step: the share of the floor's rate
    (DONATED, "torch fused"),
    (DONATED, "torch foreach"),
    (DONATED, "optax jit"),
    (DONATED, "numpy eager"),
    (PURE, DONATED),
    (FIRST_STEP, CACHED_KERNEL),
)


@dataclass(frozen=True)
class Reach:
    """A bound on a ratio: what is aimed at."""

    sense: str
    limit: float

    def met(self, ratio: float) -> bool:
        return ratio <= self.limit if self.sense == "<=" else ratio >= self.limit

    def __str__(self) -> str:
        return f"{self.sense} {self.limit}"


REACH = {
    ("one", FLOOR, DONATED): Reach(">=", 0.8),
    ("one", DONATED, "torch fused"): Reach("<=", 1.0),
    ("one", PURE, DONATED): Reach("<=", 1.6),
    ("transformer", FLOOR, DONATED): Reach(">=", 0.8),
    ("transformer", DONATED, "torch fused"): Reach("<=", 1.0),
    ("transformer", PURE, DONATED): Reach("<=", 1.6),
    ("small", DONATED, "torch fused"): Reach("<=", 0.3),
    ("small", PURE, DONATED): Reach("<=", 1.6),
    (STARTUP, FIRST_STEP, CACHED_KERNEL): Reach("<=", 1.6),
}


@dataclass(frozen=True)
class Row:
    """One comparison of one case."""

    label: str
    ratio: Ratio
    reach: Reach | None

    @property
    def verdict(self) -> str:
        if self.reach is None:
            return ""
        return "met" if self.reach.met(self.ratio.median) else "missed"


def rows(case: Case) -> Iterator[Row]:
    """Every comparison that this case's contestants allow."""
    for top, bottom in COMPARISONS:
        numerator = case.floor if top == FLOOR else top
        if numerator in case.seconds and bottom in case.seconds:
            label = f"share of floor ({numerator.removeprefix('floor: ')})" if top == FLOOR else f"{top} / {bottom}"
            ratio = paired_ratio(case.seconds[numerator], case.seconds[bottom])
            yield Row(label, ratio, REACH.get((case.workload, top, bottom)))


def show(cases: Sequence[Case], console: Console) -> None:
    """The ratios first, the absolute times after them and dimmed."""
    console.print(_ratios(cases))
    for case in cases:
        if case.neighbours is not None and case.neighbours > QUIET:
            console.print(
                f"{case.workload}, {case.optimizer}: others used {case.neighbours:.0%} of the cores meanwhile; "
                "peers whose threads wait for each other, such as torch, suffer most from that",
                style="yellow",
                highlight=False,
            )
        for name, reason in case.left_out.items():
            console.print(
                f"left out of {case.workload}, {case.optimizer}: {name} ({reason})", style="dim", highlight=False
            )
    console.print(_times(cases))


def to_json(cases: Sequence[Case], about: dict[str, Any]) -> dict[str, Any]:
    """Everything, down to the seconds of every round."""
    return about | {
        "cases": [
            asdict(case)
            | {"floor": case.floor, "ratios": [asdict(row) | {"verdict": row.verdict or None} for row in rows(case)]}
            for case in cases
        ]
    }


def _ratios(cases: Sequence[Case]) -> Table:
    table = Table(title="Ratios of times: medians over rounds", title_justify="left", box=SIMPLE)
    table.add_column("", no_wrap=True)
    for heading in ("median", "90 % interval", "reach"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    colours = {"met": "green", "missed": "red", "": ""}
    for case in cases:
        table.add_row(f"{case.workload}, {case.optimizer}", style="bold")
        for row in rows(case):
            ratio = row.ratio
            table.add_row(
                row.label,
                _short(ratio.median),
                f"{_short(ratio.low)}–{_short(ratio.high)}",
                str(row.reach or ""),
                row.verdict,
                style=colours[row.verdict],
            )
        table.add_section()
    return table


def _times(cases: Sequence[Case]) -> Table:
    table = Table(
        title="Absolute medians, for orientation: on a shared machine they mean nothing",
        title_justify="left",
        box=SIMPLE,
        style="dim",
    )
    table.add_column("", no_wrap=True)
    for heading in ("ms", "GB/s", "share of floor"):
        table.add_column(heading, justify="right", no_wrap=True)
    for case in cases:
        table.add_row(f"{case.workload}, {case.optimizer}")
        for name in case.seconds:
            seconds = case.median(name)
            rate = f"{case.bytes / seconds / 1e9:.1f}" if case.bytes else ""
            share = _short(paired_ratio(case.seconds[case.floor], case.seconds[name]).median) if case.floor else ""
            table.add_row(name, f"{seconds * 1e3:.3f}", rate, share, style="dim")
        table.add_section()
    return table


def _short(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio >= 0.1 else f"{ratio:.2g}"
