"""`samestep compare`: where two optimizers part, and why."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from samestep.errors import SamestepError


class Compare:
    """The command: 0 if the two are the same, to rounding; 1 if not; 2 for wrong usage."""

    help = "find the step and the entry in which two optimizers part, and the conventions behind it"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        how = "[library:]Name(key=literal, ...): adamw(lr=1e-3), torch:AdamW(lr=1e-3), optax:adamw(1e-3), keras:Adam()"
        parser.add_argument("a", metavar="A", help=how)
        parser.add_argument("b", metavar="B", help="the other one, likewise")
        parser.add_argument("--steps", type=int, default=100, metavar="N", help="how many (100)")
        parser.add_argument("--dtype", default="float64", help="float64, the default, or float32")
        parser.add_argument(
            "--problem",
            default="quadratic",
            metavar="P",
            help="quadratic, the default; matrices, rosenbrock, recorded or digits",
        )
        parser.add_argument(
            "--lr", metavar="SCHEDULE", help="a learning rate that changes, for both: cosine(0.1, steps=100)"
        )
        parser.add_argument("--no-explain", action="store_true", help="do not look for the conventions")
        parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to this file")

    def run(self, args: argparse.Namespace) -> int:
        """Compare, show, and return the exit code."""
        from . import drift_report  # what is compared is imported when it is asked for
        from .drift import compare
        from .specs import schedule

        found = compare(
            args.a,
            args.b,
            steps=args.steps,
            dtype=args.dtype,
            problem=args.problem,
            lr=None if args.lr is None else schedule(args.lr),
            explain=not args.no_explain,
        )
        drift_report.show(found, Console())
        if args.json:
            try:
                args.json.parent.mkdir(parents=True, exist_ok=True)
                args.json.write_text(drift_report.to_json(found))
            except OSError as error:
                raise SamestepError(f"--json needs a file that can be written; got {args.json}: {error}") from None
        return 0 if found.same else 1


command = Compare()
