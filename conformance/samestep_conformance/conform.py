"""`samestep conform`: the suite over optimizers, backends and dtypes, as a matrix and as files."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from . import report
from .suite import DTYPES, FAILED, USUAL, Cell, cells

WIDTH = 220  # where no terminal says how wide it is, lines are as long as they are


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
        for name, what in (("json", "everything"), ("junit", "JUnit XML"), ("html", "one page")):
            parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {what} to this file")

    def run(self, args: argparse.Namespace) -> int:
        """0 if everything passed, 1 if anything failed."""
        found = self._run(args)
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
        return int(any(cell.status == FAILED for cell in found))

    @staticmethod
    def _run(args: argparse.Namespace) -> list[Cell]:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        found = []
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("conform", total=None)
            for done, total, cell in cells(args.optimizer, args.backend, args.dtype, args.quick):
                progress.update(task, completed=done, total=total, description=f"{cell.subject}")
                found.append(cell)
        return found


command = Conform()
