"""What `samestep plot` draws: four problems of two params, and the paths of optimizers on them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

import samestep as ss
from samestep_conformance.adapters import Subject, subject
from samestep_conformance.feeding import inputs, taken
from samestep_conformance.specs import FAILURES, Spec, SpecError, parse

DEFAULT = ("sgd(lr=1e-3, momentum=0.9)", "adam(lr=0.05)", "lion(lr=0.01)", "adopt(lr=0.05)", "adan(lr=0.05)")
RATES = ("lr", "learning_rate")


@dataclass(frozen=True)
class Problem:
    """f of two params, least at `optimum`, where it is 0; `window` is (left, right, bottom, top)."""

    title: str
    value: Callable[[Any, Any], Any]
    gradient: Callable[[Any, Any], tuple[Any, Any]]
    start: tuple[float, float]
    optimum: tuple[float, float]
    window: tuple[float, float, float, float]
    noise: float = 0.0


def _beale(x: Any, y: Any) -> tuple[Any, Any]:
    terms = [(c - x + x * y**k, y**k - 1, k * x * y ** (k - 1)) for k, c in ((1, 1.5), (2, 2.25), (3, 2.625))]
    return sum(2 * r * dx for r, dx, _ in terms), sum(2 * r * dy for r, _, dy in terms)


PROBLEMS = {
    "rosenbrock": Problem(
        "Rosenbrock",
        lambda x, y: (1 - x) ** 2 + 100 * (y - x * x) ** 2,
        lambda x, y: (-2 * (1 - x) - 400 * x * (y - x * x), 200 * (y - x * x)),
        start=(-1.2, 1.0),
        optimum=(1.0, 1.0),
        window=(-1.8, 1.6, -0.7, 2.2),
    ),
    "rastrigin": Problem(
        "Rastrigin",
        lambda x, y: 20 + sum(z * z - 10 * np.cos(2 * np.pi * z) for z in (x, y)),
        lambda x, y: tuple(2 * z + 20 * np.pi * np.sin(2 * np.pi * z) for z in (x, y)),
        start=(-2.35, 1.65),
        optimum=(0.0, 0.0),
        window=(-3.2, 1.2, -1.2, 2.7),
    ),
    "beale": Problem(
        "Beale",
        lambda x, y: (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2,
        _beale,
        start=(1.0, 1.5),
        optimum=(3.0, 0.5),
        window=(-0.3, 4.3, -1.3, 2.0),
    ),
    "quadratic": Problem(
        "noisy quadratic",
        lambda x, y: (x * x + 20 * y * y) / 2,
        lambda x, y: (x, 20 * y),
        start=(-3.0, 1.5),
        optimum=(0.0, 0.0),
        window=(-3.6, 1.6, -1.9, 2.1),
        noise=2.0,
    ),
}


@dataclass(frozen=True)
class Path:
    """The params before the first step and after each, and the loss there; cut where it is not finite any more."""

    label: str
    points: np.ndarray
    losses: np.ndarray
    steps: int

    @property
    def diverged(self) -> bool:
        """Whether it was cut."""
        return len(self.losses) <= self.steps

    @property
    def final(self) -> float:
        """The median loss of the last tenth of the steps; infinite after divergence."""
        return np.inf if self.diverged else float(np.median(self.losses[-max(1, self.steps // 10) :]))


def at_rate(text: str, lr: float) -> str:
    """The same optimizer with another lr, which is the first argument of all."""
    spec = parse(text)
    rest = [repr(a) for a in spec.args[1:]] + [f"{k}={v!r}" for k, v in spec.kwargs.items() if k not in RATES]
    return f"{_library(spec)}{spec.name}({', '.join([repr(lr), *rest])})"


def _library(spec: Spec) -> str:
    return "" if spec.library == "samestep" else f"{spec.library}:"


def run(text: str, problem: Problem, steps: int) -> Path:
    """The path of an optimizer, written `[library:]Name(key=literal, ...)`.

    Raises:
        SpecError: it is no optimizer, or cannot step two params with their gradient alone.
    """
    stepped = subject(text, "float64", None)
    noise = problem.noise * np.random.default_rng(0).standard_normal((steps, 2))
    points = [np.array(problem.start)]
    try:
        # Ours is compiled where it can be; the settings of a comparison have it evaluated.
        with stepped.settings() if _ours(stepped) is None else nullcontext(), np.errstate(all="ignore"):
            walk = _Walk(stepped, problem, points[0].copy())
            for count in range(steps):
                where = walk.step(noise[count], count)
                if not np.isfinite(problem.value(*where)):
                    break
                points.append(where)
    except FAILURES as error:
        if isinstance(error, SpecError):
            raise
        raise SpecError(f"{text!r} cannot step the two params of {problem.title}: {error}") from error
    path = np.array(points)
    return Path(text, path, problem.value(*path.T), steps)


def _ours(stepped: Subject) -> ss.Optimizer | None:
    found = getattr(stepped, "optimizer", None)
    return found if isinstance(found, ss.Optimizer) else None


class _Walk:
    """Steps of one optimizer; ours may ask for gradients elsewhere, be evaluated there, or take the loss or a coin."""

    def __init__(self, stepped: Subject, problem: Problem, start: np.ndarray) -> None:
        self.stepped, self.problem, self.params = stepped, problem, {"p": start}
        self.ours = _ours(stepped)
        self.state = stepped.init(self.params)

    def gradient(self, params: dict[str, np.ndarray], noise: Any = 0.0) -> dict[str, np.ndarray]:
        return {"p": np.array(self.problem.gradient(*params["p"]), dtype=float) + noise}

    def step(self, noise: np.ndarray, count: int) -> np.ndarray:
        """Where it is after another step."""
        if self.ours is None:
            self.params, self.state = self.stepped.step(
                self.params, self.gradient(self.params, noise), self.state, count
            )
            return np.array(self.params["p"])

        def asked(name: str, at: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return self.gradient(at, 0.0 if name == "full" else noise)

        given = {}
        if "loss" in inputs(self.ours):
            given["loss"] = float(self.problem.value(*self.ours.query(self.params, self.state)["x"]["p"]))
        self.params, self.state = taken(self.ours, self.params, self.state, asked, **given)
        return np.array(self.ours.eval_params(self.params, self.state)["p"])
