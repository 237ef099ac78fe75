"""`samestep conform`: the suite over optimizers, backends and dtypes, as a matrix and as files."""

from __future__ import annotations

import argparse
import json
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import report
from .jobs import in_turn, spread, usable_processors
from .suite import DTYPES, FAILED, USUAL, Cell, Place, places

NOT_REACHED = "the run was interrupted before"
WIDTH = 220  # where no terminal says how wide it is, lines are as long as they are


def _jobs(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of processes; write 1 or more")
    return int(text)


class Conform:
    """The command, as `samestep` runs it."""

    help = "check that every optimizer takes the same step on every backend"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """What to run, and which files to write."""
        parser.add_argument(
            "--quick", action="store_true", help="programs that together use every operation, few steps"
        )
        for name, what in (
            ("backend", "all that are installed by default"),
            ("optimizer", "a name or a pattern such as 'adam*'; every one by default"),
        ):
            parser.add_argument(f"--{name}", action="append", metavar=name.upper(), help=f"{what}; may be repeated")
        parser.add_argument(
            "--dtype", action="append", choices=DTYPES, help=f"{' and '.join(USUAL)} by default; may be repeated"
        )
        parser.add_argument(
            "--jobs", type=_jobs, default=usable_processors(), metavar="N",
            help="processes to run in; by default one per usable processor, here %(default)s",
        )  # fmt: skip
        for name, what in (("json", "everything"), ("junit", "JUnit XML"), ("html", "one page")):
            parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what} to this file")

    def run(self, args: argparse.Namespace) -> int:
        """0 if everything passed, 1 if anything failed or was not reached."""
        wanted = places(args.optimizer, args.backend, args.dtype, args.quick)
        found = self._run(args.jobs, wanted)
        console = Console()
        report.Matrix(found).show(console if console.is_terminal else Console(width=WIDTH))
        for path, text in (
            (args.json, lambda: json.dumps(report.to_json(found), indent=1) + "\n"),
            (args.junit, lambda: report.to_junit(found)),
            (args.html, lambda: report.to_html(found)),
        ):
            if path:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text(), encoding="utf-8")
        return int(any(cell.status == FAILED or cell.reason == NOT_REACHED for cell in found))

    @staticmethod
    def _run(jobs: int, wanted: list[Place]) -> list[Cell]:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        found: dict[int, Cell] = {}
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("conform", total=len(wanted))
            with suppress(KeyboardInterrupt):  # what there is by then is reported
                for number, cell in spread(wanted, jobs) if jobs > 1 else in_turn(wanted):
                    found[number] = cell
                    progress.update(task, completed=len(found), description=f"{cell.subject}")
        return [found.get(number) or Cell(place.named(), reason=NOT_REACHED) for number, place in enumerate(wanted)]


command = Conform()
