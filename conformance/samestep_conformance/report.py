"""What the suite found: a matrix for the terminal, JSON for programs, JUnit XML for CI, a page for people."""

from __future__ import annotations

import platform
import re
from collections.abc import Sequence
from html import escape
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from xml.etree import ElementTree

from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

from samestep import backend as backends

from .runs import exceptions
from .suite import CHECKS, FAILED, LEFT_OUT, PASSED, Cell

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML cannot hold
COLOURS = {PASSED: "green", FAILED: "bold red", LEFT_OUT: "dim"}


def about() -> dict[str, str]:
    """The machine and the versions."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for name in ("samestep", "numpy", "numba", "torch", "jax", "dask", "array-api-strict"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def absent() -> dict[str, str]:
    """The backends that cannot run here, and why."""
    return {backend.name: reason for backend in backends.installed() for reason in [backend.missing()] if reason}


def stated(names: Sequence[str]) -> dict[str, str]:
    """What backends say is different with them."""
    return {
        name: "; ".join(f"{what}: {why}" for what, why in exceptions(backends.load(name)).items())
        for name in names
        if exceptions(backends.load(name))
    }


# -- the matrix --------------------------------------------------------------------------------------------------------


class Matrix:
    """A row per optimizer, a column per backend. What dtypes came to is one text where it is the same for all of them,
    else one for each. Reasons are numbered below.
    """

    def __init__(self, cells: Sequence[Cell]) -> None:
        self.rows = list(dict.fromkeys(cell.subject.name for cell in cells))
        self.columns = list(dict.fromkeys(cell.subject.backend for cell in cells))
        self.dtypes = list(dict.fromkeys(cell.subject.dtype for cell in cells))
        self.classes = {cell.subject.name: cell.exactness for cell in cells if cell.exactness}
        self.cells = {(c.subject.name, c.subject.backend, c.subject.dtype): c for c in cells}
        self.notes: dict[str, int] = {}

    @property
    def title(self) -> str:
        """What a place stands for."""
        each = "; what names none of them holds for each" if len(self.dtypes) > 1 else ""
        return f"same bits as NumPy, and every other check, in {' and '.join(self.dtypes)}{each}"

    def at(self, row: str, column: str) -> tuple[str, str]:
        """Status and text of one place."""
        found = {dtype: self.cells[row, column, dtype] for dtype in self.dtypes}
        status = [cell.status for cell in found.values()]
        texts = {dtype: self._text(column, cell) for dtype, cell in found.items()}
        different = dict.fromkeys(texts.values())
        text = "\n".join(different if len(different) == 1 else (f"{dtype}: {text}" for dtype, text in texts.items()))
        return next((s for s in (FAILED, PASSED) if s in status), LEFT_OUT), text

    def _text(self, column: str, cell: Cell) -> str:
        if cell.status == FAILED:
            first = cell.failures[0]
            seen = f" {first.apart}" if first.apart is not None else ""
            return f"FAILED{seen} [{self._note(f'{cell.subject}: {first.check}: {first.message}')}]"
        if cell.reason:
            return f"left out [{self._note(cell.reason)}]"
        if column == "numpy":
            return "reference"
        note = f" [{self._note(cell.not_compared)}]" if cell.not_compared else ""
        return ("passed" if cell.apart is None else str(cell.apart)) + note

    def _note(self, text: str) -> int:
        return self.notes.setdefault(text, len(self.notes) + 1)

    def remarks(self) -> dict[str, str]:
        """What a reader should know of checks, of backends, and of those that are not there."""
        ran = {outcome.check for cell in self.cells.values() for outcome in cell.outcomes}
        found = {check.name: check.about for check in CHECKS if check.about and check.name in ran}
        found |= {f"{name}, stated exceptions": what for name, what in stated(self.columns).items()}
        return found | {f"left out: {name}": reason for name, reason in absent().items()}

    def show(self, console: Console) -> None:
        """Print it."""
        console.print(self.title, markup=False, highlight=False, soft_wrap=True)
        table = Table()
        table.add_column("optimizer", no_wrap=True)
        table.add_column("class", no_wrap=True)
        for column in self.columns:
            table.add_column(column)
        for row in self.rows:
            places = [self.at(row, column) for column in self.columns]
            texts = [f"[{COLOURS[status]}]{plain(text)}[/]" for status, text in places]
            table.add_row(plain(row), self.classes.get(row, ""), *texts)
        console.print(table)
        for note, number in self.notes.items():
            console.print(f"[{number}] {note}", markup=False, highlight=False, soft_wrap=True)
        for name, what in self.remarks().items():
            console.print(f"{name}: {what}", markup=False, highlight=False, soft_wrap=True)
        console.print(summary(list(self.cells.values())), markup=False, highlight=False)


def summary(cells: Sequence[Cell]) -> str:
    """In one line."""
    outcomes = [outcome.status for cell in cells for outcome in cell.outcomes]
    spared = sum(bool(cell.reason) for cell in cells)
    counts = {status: outcomes.count(status) for status in (PASSED, FAILED, LEFT_OUT)}
    return (
        f"{counts[PASSED]} checks passed, {counts[FAILED]} failed, {counts[LEFT_OUT]} left out; "
        f"{len(cells) - spared} combinations ran, {spared} left out"
    )


# -- files -------------------------------------------------------------------------------------------------------------


def to_json(cells: Sequence[Cell]) -> dict[str, Any]:
    """Everything, as plain data."""
    return {
        "about": about(),
        "stated exceptions": stated(list(dict.fromkeys(cell.subject.backend for cell in cells))),
        "left out": absent(),
        "results": [_result(cell) for cell in cells],
    }


def _result(cell: Cell) -> dict[str, Any]:
    subject, apart = cell.subject, cell.apart
    return {
        "optimizer": subject.name,
        "backend": subject.backend,
        "dtype": subject.dtype,
        "class": cell.exactness,
        "status": cell.status,
        "reason": cell.reason,
        "ulps": _number(apart.ulps) if apart is not None else None,
        "step": apart.step if apart is not None and apart.ulps else None,
        "checks": [
            {
                "check": o.check,
                "status": o.status,
                "message": o.message,
                "ulps": _number(o.apart.ulps) if o.apart is not None else None,
                "step": o.apart.step if o.apart is not None and o.apart.ulps else None,
                "seconds": round(o.seconds, 4),
            }
            for o in cell.outcomes
        ],
    }


def _number(x: float) -> float | str:
    return x if x != float("inf") else "inf"  # JSON has no infinity


def to_junit(cells: Sequence[Cell]) -> str:
    """One suite per backend, one case per check; what was left out is skipped, with the reason."""
    root = ElementTree.Element("testsuites", name="samestep conform")
    for backend in dict.fromkeys(cell.subject.backend for cell in cells):
        mine = [cell for cell in cells if cell.subject.backend == backend]
        suite = ElementTree.SubElement(root, "testsuite", name=f"samestep.{backend}")
        seconds = 0.0
        for cell in mine:
            where = f"samestep.{backend}.{cell.subject.dtype}"
            if cell.reason:
                case = ElementTree.SubElement(suite, "testcase", classname=where, name=cell.subject.name, time="0")
                ElementTree.SubElement(case, "skipped", message=_legal(cell.reason))
            for o in cell.outcomes:
                case = ElementTree.SubElement(
                    suite, "testcase", classname=where, name=f"{cell.subject.name}: {o.check}", time=f"{o.seconds:.4f}"
                )
                seconds += o.seconds
                if o.status == FAILED:
                    message = _legal(o.message)
                    ElementTree.SubElement(case, "failure", message=message, type="Difference").text = message
                elif o.status == LEFT_OUT:
                    ElementTree.SubElement(case, "skipped", message=_legal(o.message))
        counts = {"tests": "testcase", "failures": "testcase/failure", "skipped": "testcase/skipped"}
        for name, path in counts.items():
            suite.set(name, str(len(suite.findall(path))))
        suite.set("errors", "0")
        suite.set("time", f"{seconds:.4f}")
    for name in ("tests", "failures", "skipped", "errors"):
        root.set(name, str(sum(int(suite.get(name, 0)) for suite in root)))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    return ILLEGAL.sub("?", text)


STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 100em; padding: 0 1em; color: #222 }
table { border-collapse: collapse; margin: 1em 0 }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: left; white-space: pre-line }
thead th { background: #f3f3f3 } .passed { background: #e5f5e5 } .failed { background: #fbdada; font-weight: bold }
.left { color: #777 } details { margin: .3em 0 } code { white-space: pre-wrap }
"""
CLASSES = {PASSED: "passed", FAILED: "failed", LEFT_OUT: "left"}


def to_html(cells: Sequence[Cell]) -> str:
    """One page that needs nothing from elsewhere."""
    matrix = Matrix(cells)
    head = "".join(f"<th>{escape(name)}</th>" for name in ("optimizer", "class", *matrix.columns))
    rows = []
    for row in matrix.rows:
        places = (matrix.at(row, column) for column in matrix.columns)
        found = "".join(f'<td class="{CLASSES[status]}">{escape(text)}</td>' for status, text in places)
        rows.append(f"<tr><th>{escape(row)}</th><td>{escape(matrix.classes.get(row, ''))}</td>{found}</tr>")
    notes = "".join(f"<li>{escape(note)}</li>" for note in matrix.notes)
    others = matrix.remarks() | about()
    facts = "".join(f"<tr><th>{escape(name)}</th><td>{escape(what)}</td></tr>" for name, what in others.items())
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>samestep conform</title>'
        f"<style>{STYLE}</style></head><body>\n<h1>samestep conform</h1>\n"
        f"<p>{escape(f'{matrix.title}. {summary(cells)}.')}</p>\n"
        f"<table><thead><tr>{head}</tr></thead><tbody>\n{''.join(rows)}\n</tbody></table>\n<ol>{notes}</ol>\n"
        f"<table>{facts}</table>\n<h2>Every check</h2>\n{''.join(map(_details, cells))}\n</body></html>\n"
    )


def _details(cell: Cell) -> str:
    told = "".join(
        f'<tr><td>{escape(o.check)}</td><td class="{CLASSES[o.status]}">{escape(o.status)}</td>'
        f"<td>{escape(str(o.apart) if o.apart is not None else '')}</td><td><code>{escape(o.message)}</code></td></tr>"
        for o in cell.outcomes
    )
    opened = " open" if cell.status == FAILED else ""
    title = f"{cell.subject.name}, {cell.subject.backend}, {cell.subject.dtype}: {cell.status} {cell.reason}"
    return f"<details{opened}><summary>{escape(title)}</summary><table>{told}</table></details>\n"
