"""`samestep list` and `samestep show NAME`: what there is, and all that is known of one of it."""

from __future__ import annotations

import argparse
import inspect
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .backend import Signature, installed
from .catalogue import MODIFIER, OPTIMIZER, PART, SCHEDULE, Entry, entries, entry
from .equations import equations
from .errors import BackendError, LeafError, SamestepError, names
from .hypers import Hyper
from .plan import bytes_per_parameter, describe
from .state import slot_layout
from .trace.graph import Program

SHAPES = {"a matrix": (64, 32), "a vector": (64,)}
GROUPS = {OPTIMIZER: "Optimizers", MODIFIER: "Modifiers", PART: "Parts, for chains", SCHEDULE: "Schedules"}
KINDS = {bool: "True or False", int: "any whole number", Callable: "a function"}
NATIVE = Signature("float32", "float32", "float32")


class List:
    """The `list` command."""

    help = "list the optimizers, modifiers, parts and schedules"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "pattern", nargs="?", default="*", metavar="PATTERN", help="such as 'adam*'; all by default"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Print one table for each kind."""
        found = [e for name, e in entries().items() if fnmatchcase(name, args.pattern)]
        if not found:
            raise SamestepError(f"no name matches {args.pattern!r}; samestep list shows all")
        console = Console(highlight=False)
        for kind, title in GROUPS.items():
            rows = [e for e in found if e.kind == kind]
            if rows:
                console.print(_listed(title, kind, rows))
        return 0


def _listed(title: str, kind: str, rows: list[Entry]) -> Table:
    table = Table(title=title, title_justify="left", box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("name", no_wrap=True)
    if kind != SCHEDULE:
        table.add_column("exactness", no_wrap=True)
        table.add_column("state", no_wrap=True)
    table.add_column("what")
    for row in rows:
        facts = [] if kind == SCHEDULE else [" / ".join(_classes(row)), _state(row)]
        table.add_row(row.name, *facts, escape(_brief(row.summary)))
    return table


def _brief(summary: str) -> str:
    """A summary without its year, its link, and where to read on."""
    return re.split(r" \(\D*\d{4}|; its equations|: help\(", summary)[0].removesuffix(".")


def programs(found: Entry) -> Iterator[tuple[str, tuple[int, ...], Program]]:
    """The programs of its example for leaves of different ranks; where they are one, it is shown once."""
    seen: list[Program] = []
    for words, shape in SHAPES.items():
        try:
            program = found.chain.program(shape)
        except LeafError:  # not every optimizer takes every shape
            continue
        if program not in seen:
            seen.append(program)
            yield words, shape, program


def _classes(found: Entry) -> list[str]:
    return list(dict.fromkeys(program.exactness for _, _, program in programs(found)))


def _bytes(found: Entry, shape: tuple[int, ...], program: Program) -> float:
    """Of its slots, for each element of a float32 leaf."""
    leaf = describe("", np.empty(shape, np.float32), np.empty(shape, np.float32), 0)
    layouts = [slot_layout(found.chain, slot, leaf) for slot in program.slots]
    return sum(np.dtype(dtype).itemsize * float(np.prod(shape_)) for shape_, dtype in layouts) / np.prod(shape)


def _state(found: Entry) -> str:
    _, shape, program = next(programs(found))
    return f"{_bytes(found, shape, program):.3g} B/param"


class Show:
    """The `show` command."""

    help = "show equations, hyperparameters, state, exactness, source and kernels of one name"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("name", metavar="NAME", help="as samestep list has it")
        parser.add_argument("--kernel", metavar="LANGUAGE", help="print the generated kernels: numba, cuda or python")
        parser.add_argument("--latex", action="store_true", help="print the equations as LaTeX")

    def run(self, args: argparse.Namespace) -> int:
        """Print what was asked for."""
        found = entry(args.name)
        if found.kind == SCHEDULE:
            if args.kernel or args.latex:
                raise SamestepError(
                    f"{found.name} is a schedule, a number of the step: it has no kernel and no Program"
                )
            shown = [_parameter(p) for p in inspect.signature(found.make).parameters.values()]
            print(f"schedules.{found.name}({', '.join(shown)})\n\n{inspect.getdoc(found.make)}")
        elif args.kernel:
            print(kernels(found, args.kernel))
        elif args.latex:
            print("\n".join(f"% {words}\n{equations(program, latex=True)}" for words, _, program in programs(found)))
        else:
            _describe(found, Console(highlight=False, soft_wrap=True))
        return 0


def kernels(found: Entry, language: str) -> str:
    """The source of its kernels, from the backend that prints this language."""
    printers = {getattr(b, "language", None): b for b in reversed(installed())}
    printers.pop(None, None)
    backend: Any = printers.get(language)
    if backend is None:
        raise SamestepError(f"no backend prints {language!r}; there are {names(sorted(map(str, printers)))}")
    texts, refused = [], {}
    for words, _, program in programs(found):
        reason = backend.refuses(program, NATIVE)
        if reason:
            refused[words] = reason
        text = f"none, {reason}\n" if reason else f"\n{backend.kernels(program, NATIVE)}"
        texts.append(f"for {words}: {text}")
    if len(refused) == len(texts):
        raise BackendError(f"{language} has no kernel of {found.name}: {next(iter(refused.values()))}")
    return "\n".join(texts)


def _describe(found: Entry, console: Console) -> None:
    def section(title: str, text: str) -> None:
        console.print(f"\n[bold]{title}[/bold]")
        console.print(escape(text))

    console.print(f"[bold]{found.name}[/bold]: {escape(found.summary)}")
    section("Source", "\n".join(found.sources) or "no paper")
    if found.kind != OPTIMIZER:
        section("Shown as", repr(found.example))
    shown = list(programs(found))
    for words, _, program in shown:
        section(f"Equations, {words}" if len(shown) > 1 else "Equations", equations(program))
    console.print("\n[bold]Hyperparameters[/bold]")
    console.print(_hypers(found.hypers))
    for words, shape, program in shown:
        section(f"State, {words}" if len(shown) > 1 else "State", _slots(found, shape, program))
    for words, shape, program in shown:
        leaf = describe("", np.empty(shape, np.float32), np.empty(shape, np.float32), 0)
        moved = f"a step moves {bytes_per_parameter(program, leaf)} bytes per parameter (float32)"
        section(f"Exactness, {words}" if len(shown) > 1 else "Exactness", f"{program.exactness}; {moved}")
    section("Dialects", ", ".join(found.dialects) or "none")
    section("Kernels", f"samestep show {found.name} --kernel numba | cuda | python")


def _hypers(hypers: tuple[Hyper, ...]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    for column in ("name", "default", "kind", "domain"):
        table.add_column(column, no_wrap=column != "domain")
    for hyper in hypers:
        default = "required" if hyper.required else repr(hyper.default)
        table.add_row(hyper.name, escape(default), "number" if hyper.number else "option", escape(_domain(hyper)))
    return table


def _domain(hyper: Hyper) -> str:
    if hyper.choices:
        return ", or ".join(["one of " + names(hyper.choices, limit=len(hyper.choices)), *map(_kind, hyper.others)])
    words = [domain.words for domain in hyper.domains] or ["any number" if hyper.number else _kind(hyper.type)]
    return ", ".join([*words, *(["or None"] if hyper.optional else [])])


def _kind(type_: Any) -> str:
    return KINDS.get(type_) or f"a {type_.__name__}"


def _slots(found: Entry, shape: tuple[int, ...], program: Program) -> str:
    leaf = describe("", np.empty(shape, np.float32), np.empty(shape, np.float32), 0)
    lines = []
    for slot in program.slots:
        layout, dtype = slot_layout(found.chain, slot, leaf)
        lines.append(f"{slot}: {_shape(layout, shape)} ({dtype})")
    lines += [f"{slot}: one number" for slot in program.numbers]
    return "\n".join([*(lines or ["none"]), f"{_bytes(found, shape, program):.3g} bytes per parameter (float32)"])


def _shape(layout: tuple[int, ...], shape: tuple[int, ...]) -> str:
    if layout == shape:
        return "as the parameter"
    return "one number per leaf" if layout == () else f"{layout} of a leaf {shape}"


def _parameter(parameter: inspect.Parameter) -> str:
    return parameter.name if parameter.default is parameter.empty else f"{parameter.name}={parameter.default!r}"


listing = List()
command = Show()
