"""`samestep bench`: samestep beside its peers on this machine."""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from . import machine, report
from .peers import Disagreement
from .rules import RULES
from .suite import STARTUP, Case, Track, measure_startup, measure_workload
from .workloads import WORKLOADS, Workload, parse

ROUNDS, QUICK_ROUNDS = 30, 5


class Bench:
    """The command, as `samestep` and `python -m samestep_bench` run it."""

    help = "time samestep beside its peers, as ratios"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--workload",
            action="append",
            type=_workload,
            metavar="NAME",
            help=f"{', '.join(WORKLOADS)}, {STARTUP} (new processes), or COUNT:SHAPE,... as in 48:768x768,100:768; "
            "may be repeated; all that have a name by default",
        )
        parser.add_argument(
            "--optimizer", action="append", choices=list(RULES), help="may be repeated; all of them by default"
        )
        parser.add_argument("--rounds", type=_rounds, help=f"rounds of each case ({ROUNDS} by default)")
        parser.add_argument("--quick", action="store_true", help=f"only {QUICK_ROUNDS} rounds")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write everything measured to this file")

    def run(self, args: argparse.Namespace) -> int:
        """0 after a measurement, whatever it shows; 1 if a peer does other maths."""
        rounds = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)
        about = machine.describe() | {"rounds": rounds}
        try:
            with machine.two_cores():
                cases = self._measure(
                    args.workload or [*WORKLOADS.values(), STARTUP], args.optimizer or list(RULES), rounds
                )
        except Disagreement as error:
            Console(stderr=True).print(f"error: {error}", style="red")
            return 1
        report.show(cases, Console())
        if args.json:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(report.to_json(cases, about), indent=1) + "\n")
        return 0

    def _measure(self, workloads: list[Workload | str], optimizers: list[str], rounds: int) -> list[Case]:
        cases = []
        for workload in workloads:
            if not isinstance(workload, Workload):
                cases.append(measure_startup(rounds, _progress(STARTUP, rounds)))
                continue
            for name in optimizers:
                progress = _progress(f"{workload.name}, {name}", rounds)
                cases.append(measure_workload(workload, RULES[name], rounds, progress))
        return cases


command = Bench()


def _progress(label: str, rounds: int) -> Track:
    def show(rows: Iterable[dict[str, float]]) -> Iterable[dict[str, float]]:
        return track(rows, label, total=rounds, console=Console(stderr=True))

    return show


def _workload(text: str) -> Workload | str:
    try:
        return text if text == STARTUP else parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a name nor COUNT:SHAPE,... ({error})") from None


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return rounds
