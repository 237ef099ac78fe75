"""Our optimizers as points of a space: a constructor, and a value for each of its options and numbers."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, get_args

import samestep as ss
from samestep.errors import SamestepError
from samestep.modifiers.cautious import Masks
from samestep.modifiers.decay import Mode

from .moments import FAMILIES, moments

DECAYS = ("native", *get_args(Mode))  # "native": as the constructor has it, or coupled
NUMBERS: dict[str, tuple[float, ...]] = {  # what libraries have as defaults
    "beta1": (0.9, 0.0, 0.95, 0.98),
    "beta2": (0.999, 0.99, 0.9, 0.98, 0.95, 0.92),
    "rho": (0.9, 0.99, 0.95),
    "momentum": (0.0, 0.9),
    "dampening": (0.0, 0.9),
    "eps": (1e-8, 1e-7, 1e-6, 1e-10, 1e-3, 0.0),
    "eps_root": (0.0, 1e-8, 1e-7),
    "psi": (4e-3, 1.0),
    "initial_accumulator": (0.0, 0.1, 1.0),
    "weight_decay": (0.0, 1e-2, 1e-4, 4e-3, 1e-1),
}


TEMPLATES: dict[str, Callable[..., ss.Optimizer]] = {
    **{k: v for k, v in vars(ss).items() if hasattr(v, "pages")},
    "moments": moments,
}
Settings = dict[str, Any]
SYNONYMS: dict[tuple[str, Any], str] = {("amsgrad", True): "post"}
ALIASES = {"momentum": "beta1", "rho": "beta2"}  # what moments calls them


@dataclass(frozen=True)
class Model:
    """A constructor of ours and its settings: what is equal to an optimizer, or is tried."""

    template: str
    given: tuple[tuple[str, Any], ...]

    @property
    def settings(self) -> Settings:
        """Every setting, the defaults filled in."""
        return defaults(self.template) | dict(self.given)

    def but(self, changes: Settings) -> Model:
        """The same with other settings; those at their default are left out."""
        values = self.settings | changes
        usual = defaults(self.template)
        kept = {k: v for k, v in values.items() if not (v == usual[k] and type(v) is type(usual[k]))}
        return Model(self.template, tuple(sorted(kept.items())))

    def build(self) -> ss.Optimizer | None:
        """The optimizer, or None if these settings exclude each other."""
        return _build(self)

    def __str__(self) -> str:
        settings = self.settings
        decay, mode = settings["weight_decay"], settings["decay"]
        shown = dict(self.given)
        shown.pop("decay", None)
        native = "weight_decay" in inspect.signature(TEMPLATES[self.template]).parameters
        if (mode == "native" and native) or not decay:
            return _call(self.template, settings, shown)
        mode = "coupled" if mode == "native" else mode
        shown.pop("weight_decay", None)
        parts = [f"decay({decay!r}, mode={mode!r})", _call(self.template, settings, shown)]
        return f"chain({', '.join(parts if mode != 'proximal' else parts[::-1])})"


def _call(name: str, settings: Settings, shown: Settings) -> str:
    lr = settings.get("lr")
    first = [] if lr is None else [repr(lr)]
    return f"{name}({', '.join(first + [f'{k}={v!r}' for k, v in shown.items() if k != 'lr'])})"


@cache
def _defaults(template: str) -> tuple[tuple[str, Any], ...]:
    parameters = inspect.signature(TEMPLATES[template]).parameters.values()
    found = {p.name: None if p.default is p.empty else p.default for p in parameters}
    return tuple((found | {"weight_decay": found.get("weight_decay", 0.0), "decay": "native"}).items())


def defaults(template: str) -> Settings:
    """The settings of a constructor as it has them; "decay" is the mode of the weight decay."""
    return dict(_defaults(template))


@cache
def options(template: str) -> dict[str, tuple[Any, ...]]:
    """The options of a constructor, and what each may be."""
    constructor = TEMPLATES[template]
    own = inspect.signature(inspect.unwrap(constructor), eval_str=True).parameters
    choices = {name: get_args(p.annotation) for name, p in own.items()}
    choices["cautious"] = get_args(Masks)
    for page in constructor.pages:  # type: ignore[attr-defined]
        choices |= {name: hyper.choices or () for name, hyper in page.hypers.items() if name not in own}
    found: dict[str, tuple[Any, ...]] = {}
    for name, default in defaults(template).items():
        allowed = (False, True) if isinstance(default, bool) and not choices.get(name) else choices.get(name, ())
        allowed = tuple(x for x in allowed if (name, x) not in SYNONYMS)
        if allowed and isinstance(default, bool | str):
            found[name] = allowed
    return found | {"decay": DECAYS}


@cache
def required(template: str) -> set[str]:
    """What a constructor has no default for."""
    return {p.name for p in inspect.signature(TEMPLATES[template]).parameters.values() if p.default is p.empty}


@cache
def counts(template: str) -> set[str]:
    """What a constructor takes of whole numbers, such as the steps of an epoch."""
    hypers = getattr(TEMPLATES[template], "hypers", {})
    return {name for name, hyper in hypers.items() if hyper.type is int}


@lru_cache(4096)
def _build(model: Model) -> ss.Optimizer | None:
    settings = model.settings
    constructor = TEMPLATES[model.template]
    takes = inspect.signature(constructor).parameters
    decay, mode = settings.pop("weight_decay"), settings.pop("decay")
    given = {k: v for k, v in settings.items() if k in takes and v is not None}
    native = "weight_decay" in takes
    try:
        if not decay or (native and mode == "native"):
            return constructor(**given, **({"weight_decay": decay} if native else {}))
        bare = constructor(**given, **({"weight_decay": 0.0} if native else {}))
        part = ss.decay(decay, mode="coupled" if mode == "native" else mode)
        return ss.chain(bare, part) if mode == "proximal" else ss.chain(part, bare)
    except SamestepError:
        return None


def coupling(model: Model) -> str:
    """The word for how a model decays, also where its constructor has one of its own."""
    built = model.build()
    for mode in DECAYS[1:]:
        if model.but({"decay": mode}).build() == built:
            return mode
    return str(model.settings["decay"])


def translated(model: Model) -> list[Model]:
    """What may be the same in `moments`: each of its families, with the settings of the model."""
    settings = model.settings | {"decay": coupling(model)}
    return [fitted("moments", settings, family).but({"decay": settings["decay"]}) for family in FAMILIES.values()]


def fitted(template: str, told: Settings, base: Settings | None = None) -> Model:
    """The template with what an optimizer tells of itself, where it fits."""
    usual, allowed = defaults(template), options(template)
    given = dict(base or {})
    for name, value in told.items():
        key = ALIASES.get(name, name) if template == "moments" else name
        if key in allowed:
            if any(type(value) is type(x) and value == x for x in allowed[key]):
                given[key] = value
            elif (key, value) in SYNONYMS:
                given[key] = SYNONYMS[key, value]
        elif isinstance(value, float) and key in counts(template):
            given |= {key: int(value)} if value.is_integer() else {}
        elif isinstance(value, float) and (isinstance(usual.get(key), float) or key in required(template)):
            given[key] = value
    return Model(template, ()).but(given)


def starts(told: Settings) -> list[Model]:
    """Where a search begins: every constructor, and the families of `moments`, with the numbers that are told."""
    found = [fitted(name, told) for name in TEMPLATES]
    found += [fitted("moments", told, base) for base in FAMILIES.values()]
    return list(dict.fromkeys(m for m in found if m.build() is not None))


def flips(model: Model, known: set[str]) -> Iterator[Settings]:
    """Every setting changed by itself: the options, then the numbers that are not known, to what libraries have."""
    settings, built = model.settings, model.build()
    known = {ALIASES.get(k, k) for k in known} if model.template == "moments" else known
    for name, allowed in options(model.template).items():
        for value in allowed:
            if value != settings[name] or type(value) is not type(settings[name]):
                yield {name: value}
    for name, candidates in NUMBERS.items():
        if name in settings and name not in known:
            for value in candidates:
                if value != settings[name] and model.but({name: value}).build() != built:
                    yield {name: value}


def pairs(singles: list[Settings]) -> Iterator[Settings]:
    """Two changes at once, of different settings."""
    for one, other in itertools.combinations(singles, 2):
        if one.keys() != other.keys():
            yield one | other
