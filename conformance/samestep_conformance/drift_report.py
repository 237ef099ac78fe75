"""What `compare` found, as text, tables and JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from .drift import Drift


def headline(drift: Drift) -> str:
    """The result in a line."""
    where = f"over {drift.steps} steps in {drift.dtype}"
    if drift.identical:
        return f"the same bits {where}"
    if drift.same:
        return f"the same to rounding {where}; the largest difference is {drift.growth[-1].absolute:.1e}"
    assert drift.first is not None
    return f"different {where}: the params part in step {drift.first.step}"


def lines(drift: Drift) -> list[str]:
    """Everything but the table, a sentence each."""
    found = [f"A  {drift.a}", f"B  {drift.b}", "", headline(drift)]
    if drift.first:
        found.append(f"first: {drift.first}")
    if drift.first_state:
        found.append(f"state: {drift.first_state}")
    elif not drift.same:
        found.append("state: the entries that both keep never part")
    if drift.order:
        found.append(f"growth: the largest difference {drift.order}")
    return found + ([drift.remark] if drift.remark else [])


def reasons(drift: Drift) -> list[str]:
    """The explanation, a sentence each."""
    why = drift.explanation
    if drift.same or drift.remark:
        return []
    if why is None:
        return ["why: not found; no optimizer of ours takes the steps of A or of B"]
    if not why.closes:
        (one, ours), (other, near) = (("A", why.a_is), ("B", why.b_is))[:: 1 if why.found == "A" else -1]
        falls = f"the largest difference falls from {why.before:.1e} to {why.after:.1e}"
        return [
            f"why: not found, with our options singly and in pairs; {one} is our {ours}",
            f"the nearest to {other} is {near}, with which {falls}"
            if why.after < why.before
            else f"and nothing that was tried is nearer to {other}",
        ]
    if not why.changes:
        return [f"why: other algorithms. A is our {why.a_is}", f"B is our {why.b_is}"]
    found = [f"why: {', '.join(why.conventions)}"]
    found += [f"  - {words}" for _, words in why.changes]
    found.append(f"with that the largest difference falls from {why.before:.1e} to {why.after:.1e}")
    return [*found, f"A is our {why.a_is}", f"B is our {why.b_is}"]


def rows(drift: Drift) -> list[tuple[str, str, str, str]]:
    """The growth: step, absolute, relative and ULP."""
    return [
        (str(d.step), f"{d.absolute:.1e}", f"{d.relative:.1e}", "" if d.ulp is None else str(d.ulp))
        for d in drift.growth
    ]


COLUMNS = ("step", "largest difference", "largest relative", "ULP of the largest")


def text(drift: Drift) -> str:
    """All of it as plain text."""
    widths = [max(len(row[i]) for row in [COLUMNS, *rows(drift)]) for i in range(len(COLUMNS))]
    table = ["  ".join(x.rjust(w) for x, w in zip(row, widths, strict=True)) for row in [COLUMNS, *rows(drift)]]
    return "\n".join([*lines(drift), *([] if drift.identical else ["", *table, *_spaced(reasons(drift))])])


def _spaced(sentences: list[str]) -> list[str]:
    return ["", *sentences] if sentences else []


def show(drift: Drift, console: Console) -> None:
    """All of it on a terminal; plain text where the output is none."""
    if not console.is_terminal:
        console.print(text(drift), markup=False, highlight=False, soft_wrap=True)
        return
    console.print("\n".join(lines(drift)), markup=False)
    if not drift.identical:
        table = Table(*COLUMNS)
        for column in table.columns:
            column.justify = "right"
        for row in rows(drift):
            table.add_row(*row)
        console.print(table)
        console.print("\n".join(reasons(drift)), markup=False)


def to_json(drift: Drift) -> str:
    """Everything that was found; what is not finite is written as text."""
    found = asdict(drift) | {"conventions": list(drift.conventions), "headline": headline(drift)}
    return json.dumps(_finite(found), indent=1, allow_nan=False) + "\n"


def _finite(x: Any) -> Any:
    if isinstance(x, dict):
        return {k: _finite(v) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return [_finite(v) for v in x]
    return str(x) if isinstance(x, float) and not (x == x and abs(x) != float("inf")) else x
