"""What the scripts of this folder share: the table, the command line, the figure's file and the exit code."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import samestep as ss


@dataclass(frozen=True)
class Row:
    """A number that was measured, beside the one that was published or derived; the tolerance is absolute."""

    what: str
    measured: float
    expected: float
    tolerance: float

    @property
    def near(self) -> bool:
        """Whether it is the expected one; a NaN is not."""
        return bool(abs(self.measured - self.expected) <= self.tolerance)


def together(optimizers: dict[str, ss.Optimizer]) -> ss.Optimizer:
    """All of them in one step: each has the leaf of its name."""
    return ss.groups(optimizers, default=next(iter(optimizers.values())))


def show(rows: Sequence[Row]) -> bool:
    """Print the table; whether every number is near."""
    width = max(len(row.what) for row in rows)
    print(f"{'':{width}} | {'measured':>17} | {'expected':>17} | difference")
    for row in rows:
        flag = "" if row.near else f"  MISSED: above {row.tolerance:.0e}"
        difference = row.measured - row.expected
        print(f"{row.what:{width}} | {row.measured:17.10g} | {row.expected:17.10g} | {difference:10.1e}{flag}")
    return all(row.near for row in rows)


def run(
    measure: Callable[[int], tuple[list[Row], Any]],
    draw: Callable[[Any, Any], None],
    argv: Sequence[str] | None,
    *,
    steps: int,
    full: int | None = None,
) -> int:
    """The command of a script: `measure(steps)` gives rows and curves, `draw(figure, curves)` the picture.

    Returns:
        0 if every number is near, else 1.
    """
    script = Path(inspect.getfile(measure))
    parser = argparse.ArgumentParser(description=(inspect.getmodule(measure).__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, metavar="DIR", default=script.with_name("figures"), help="for the figure")
    longest = full or steps

    def count(text: str) -> int:
        if text == "full":
            return longest
        if not text.isdecimal() or int(text) < 1:
            raise argparse.ArgumentTypeError(f"a number of steps, at least 1, or full; got {text!r}")
        return int(text)

    parser.add_argument(
        "--steps",
        type=count,
        default=steps,
        metavar="N",
        help=f"compare only what is known up to step N ({steps}); full: {longest}",
    )
    args = parser.parse_args(argv)
    try:
        args.out.mkdir(parents=True, exist_ok=True)  # before the work, not after it
    except OSError as error:
        parser.error(f"--out: {error}")
    rows, curves = measure(args.steps)
    if not rows:
        parser.error(f"nothing is known up to step {args.steps}: take more")
    near = show(rows)

    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    draw(figure, curves)
    file = args.out / f"{script.stem}.png"
    figure.savefig(file, dpi=120)
    print(f"figure: {file}")
    return 0 if near else 1
