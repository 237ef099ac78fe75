"""The `samestep` command. Its subcommands are what installed packages register: the core names none of them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import Protocol

from .errors import SamestepError

GROUP = "samestep.commands"
USAGE = 2  # the exit code of wrong usage; 0 is the same or all pass, 1 a difference or a failure


class Command(Protocol):
    """A subcommand. Registered, under its name, in the entry-point group `samestep.commands`."""

    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code."""


class Unavailable:
    """Stands for a command whose package cannot be imported, and says why."""

    def __init__(self, point: EntryPoint, error: Exception) -> None:
        self.name = point.name
        self.reason = f"{point.module} cannot be imported: {_one_line(error)}"
        self.help = f"unavailable: {self.reason}"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Take anything: its arguments are not known."""
        parser.prefix_chars = "\0"  # what looks like an option is no mistake here
        parser.add_argument("ignored", nargs="*", help=argparse.SUPPRESS)

    def run(self, args: argparse.Namespace) -> int:
        """Refuse, with the reason."""
        raise SamestepError(f"the command {self.name!r} is unavailable: {self.reason}")


def discover() -> dict[str, Command]:
    """Every registered command by name; one that cannot be loaded is `Unavailable`."""
    return {point.name: _load(point) for point in sorted(entry_points(group=GROUP), key=lambda point: point.name)}


def _load(point: EntryPoint) -> Command:
    try:
        return point.load()
    except Exception as error:  # whatever a package raises while it is imported
        return Unavailable(point, error)


def build_parser(commands: dict[str, Command]) -> argparse.ArgumentParser:
    """The parser of these commands; `args.command` becomes the one that was asked for."""
    parser = argparse.ArgumentParser(
        prog="samestep",
        description="Optimizers for every array library, written once.",
        epilog="Exit codes: 0 the same, or all pass; 1 a difference, or a failure; 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"samestep {version('samestep')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, command in commands.items():
        subparser = subparsers.add_parser(name, help=command.help.replace("%", "%%"), description=command.help)
        command.add_arguments(subparser)
        subparser.set_defaults(command=command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line, without the program's name, and return its exit code."""
    try:
        args = build_parser(discover()).parse_args(argv)
    except SystemExit as finished:  # argparse has printed the help, the version, or what is wrong
        return int(finished.code or 0)
    try:
        return args.command.run(args)
    except SamestepError as error:
        print(f"samestep: error: {_one_line(error)}", file=sys.stderr)
        return USAGE


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
