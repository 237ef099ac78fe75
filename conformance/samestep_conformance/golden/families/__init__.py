"""What is proved against other people's code: every case of every family, found by its file in this folder."""

from importlib import import_module
from pkgutil import iter_modules

from ..case import Case

FAMILIES = tuple(sorted(found.name for found in iter_modules(__path__)))
CASES: list[Case] = [case for name in FAMILIES for case in import_module(f"{__name__}.{name}").CASES]
