"""Records what other libraries do: `python -m samestep_conformance.golden.make [case ...]` writes <case>.json here.

timm needs nothing that it asks for: `pip install --no-deps --target DIR timm`, then PYTHONPATH=DIR (README.md here).
"""

import json
import sys
from base64 import b64decode, b64encode
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from .case import Case
from .families import CASES
from .oracles import available
from .problem import PROBLEMS

FOLDER = Path(__file__).parent


def path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def write(case: Case) -> None:
    """What was called, with which versions, and one line per step: the params after it, as base64 of float64."""
    oracle = case.theirs
    steps = oracle.run(PROBLEMS[case.problem])
    record = {
        "case": case.name,
        "problem": case.problem,
        **oracle.described(),
        "versions": oracle.versions(),
        "script": f"python -m samestep_conformance.golden.make {case.name}",
        "date": date.today().isoformat(),
        "leaves": {leaf: list(p.shape) for leaf, p in steps[0].items()},
    }
    lines = [b64encode(b"".join(p.astype("<f8").tobytes() for p in params.values())).decode() for params in steps]
    head = json.dumps(record, indent=1).removesuffix("\n}")
    path(case.name).write_text(f'{head},\n "steps": [\n"' + '",\n"'.join(lines) + '"\n]}\n')


@cache
def read(name: str) -> dict[str, Any]:
    """A record; its "steps" are the params after each step."""
    record: dict[str, Any] = json.loads(path(name).read_text())
    shapes = record["leaves"]
    ends = np.cumsum([np.prod(shape, dtype=int) for shape in shapes.values()])
    lines = [np.frombuffer(b64decode(line), "<f8").astype(np.float64) for line in record["steps"]]
    record["steps"] = [
        {leaf: part.reshape(shapes[leaf]) for leaf, part in zip(shapes, np.split(line, ends), strict=False)}
        for line in lines
    ]
    return record


def main(names: list[str]) -> None:
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        sys.exit(f"no such case: {', '.join(sorted(unknown))}")
    for case in CASES:
        if not names or case.name in names:
            library = case.theirs.library
            if available(library):
                write(case)
            print(f"{case.name}: {'written' if available(library) else f'kept as it is, {library} is not installed'}")


if __name__ == "__main__":
    main(sys.argv[1:])
