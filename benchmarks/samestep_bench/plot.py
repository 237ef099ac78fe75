"""`samestep plot`: where optimizers go on four small problems, how fast, and with which lr."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path as File
from typing import Any

import numpy as np

from samestep.errors import SamestepError

from .gallery import DEFAULT, PROBLEMS, Path, Problem, at_rate, run

RATES = 25  # of a sweep
FLOOR = 1e-16  # of a loss that is drawn
FORMATS = ("png", "svg")


class Plot:
    """The command: 0 when the picture is written; 2 for wrong usage."""

    help = "draw optimizers on Rosenbrock, Rastrigin, Beale and a noisy quadratic"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument(
            "optimizers",
            nargs="*",
            metavar="OPTIMIZER",
            help="[library:]Name(key=literal, ...): adamw, 'lion(lr=1e-2)', 'torch:Adam(lr=0.05)'; by default "
            + ", ".join(DEFAULT),
        )
        parser.add_argument(
            "--problem", action="append", choices=list(PROBLEMS), help="may be repeated; all four by default"
        )
        parser.add_argument("--steps", type=_count, default=500, metavar="N", help="how many (500)")
        parser.add_argument(
            "--sweep", type=_range, metavar="LOW:HIGH", help="the loss after N steps against lr, as in 1e-4:1"
        )
        parser.add_argument("--points", type=_points, metavar="N", help=f"of a sweep ({RATES})")
        parser.add_argument(
            "--out", type=File, default=File("gallery.png"), metavar="FILE", help="PNG or SVG (gallery.png)"
        )

    def run(self, args: argparse.Namespace) -> int:
        """Step, draw, and return the exit code."""
        kind = args.out.suffix[1:].lower()
        if kind not in FORMATS:
            raise SamestepError(f"--out needs a file that ends in .png or .svg; got {args.out}")
        if args.points and not args.sweep:
            raise SamestepError(f"--points are those of a sweep; got {args.points}: add --sweep LOW:HIGH")
        matplotlib = _needed("matplotlib.figure")  # before the work, not after it
        optimizers = list(dict.fromkeys(args.optimizers or DEFAULT))
        problems = [PROBLEMS[name] for name in dict.fromkeys(args.problem or PROBLEMS)]
        if args.sweep:
            low, high = args.sweep
            rates = np.geomspace(low, high, args.points or RATES)
            figure = sweep(matplotlib, problems, optimizers, args.steps, rates)
        else:
            figure = gallery(matplotlib, problems, optimizers, args.steps)
        try:
            args.out.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(args.out, dpi=120, format=kind)
        except OSError as error:
            raise SamestepError(f"the plot cannot be written to {args.out}: {error}") from error
        print(args.out)
        return 0


command = Plot()


def gallery(matplotlib: Any, problems: Sequence[Problem], optimizers: Sequence[str], steps: int) -> Any:
    """Above, or left of one, the paths over contours; below, or right, the loss against the step."""
    figure, axes = _figure(matplotlib, problems, rows=2)
    for problem, (above, below) in zip(problems, axes.T, strict=True):
        _contours(above, problem)
        drawn, ends = [], {}
        for i, text in enumerate(optimizers):
            path = run(text, problem, steps)
            drawn.append(path.losses)
            if path.diverged:
                ends[f"C{i}"] = len(path.losses) - 1
            _path(above, path, f"C{i}")
            below.semilogy(np.maximum(path.losses, FLOOR), color=f"C{i}", linewidth=1.4, alpha=0.9)
        below.set(xlabel="step", xlim=(0, steps), ylim=_limits(problem, drawn, crossed=0.01))
        for color, step in ends.items():  # where one diverged
            below.plot(step, below.get_ylim()[1], "x", color=color, markersize=9, markeredgewidth=2, clip_on=False)
        below.grid(alpha=0.3)
    axes[1, 0].set_ylabel("loss")
    _legend(figure, optimizers)
    return figure


def sweep(
    matplotlib: Any, problems: Sequence[Problem], optimizers: Sequence[str], steps: int, rates: np.ndarray
) -> Any:
    """The loss after the steps against lr; a dot at the best one, nothing where it diverged."""
    figure, axes = _figure(matplotlib, problems, rows=1)
    for problem, ax in zip(problems, axes[0], strict=True):
        first, drawn = problem.value(*problem.start), []
        for i, text in enumerate(optimizers):
            finals = [run(at_rate(text, float(lr)), problem, steps).final for lr in rates]
            losses = np.where(np.isfinite(finals), np.maximum(finals, FLOOR), np.nan)
            drawn.append(losses)
            ax.loglog(rates, losses, color=f"C{i}", linewidth=1.6, marker=".", markersize=3)
            if np.isfinite(losses).any():
                best = np.nanargmin(losses)
                ax.plot(rates[best], losses[best], "o", color=f"C{i}", markersize=7, clip_on=False)
        ax.axhline(first, color="0.5", linestyle=":", linewidth=1, zorder=1)
        ax.annotate("start", (rates[0], first), xytext=(2, 2), textcoords="offset points", color="0.4", fontsize=9)
        ax.set(title=problem.title, xlabel="lr", xlim=(rates[0], rates[-1]), ylim=_limits(problem, drawn))
        ax.grid(alpha=0.3)
    axes[0, 0].set_ylabel(f"median loss of the last {max(1, steps // 10)} of {steps} steps")
    _legend(figure, [_unrated(text) for text in optimizers])
    return figure


def _figure(matplotlib: Any, problems: Sequence[Problem], rows: int) -> tuple[Any, Any]:
    across, down = (len(problems), rows) if len(problems) > 1 else (rows, 1)
    figure = matplotlib.Figure(figsize=(max(4.4 * across, 5.5), 4.2 * down + 0.6), layout="constrained")
    return figure, figure.subplots(down, across, squeeze=False).reshape(rows, len(problems))


def _limits(problem: Problem, drawn: Sequence[np.ndarray], crossed: float = 0.0) -> tuple[float, float]:
    """Of the axis of losses: without the part that a path only crosses, and without what is far above the start."""
    first = problem.value(*problem.start)
    finite = [x for x in drawn if np.isfinite(x).any()]
    low = min([np.nanquantile(x, crossed) for x in finite], default=first)
    high = max([np.nanmax(x) for x in finite], default=first)
    return max(min(low, first / 30), FLOOR) / 2, 2 * min(max(high, first), 15 * first)


def _contours(ax: Any, problem: Problem) -> None:
    left, right, bottom, top = problem.window
    x, y = np.meshgrid(np.linspace(left, right, 300), np.linspace(bottom, top, 300))
    # Steps that are even in the fourth root show both the walls and the floor of the valley.
    shade = problem.value(x, y) ** 0.25
    levels = np.linspace(shade.min(), shade.max(), 22)
    ax.contourf(x, y, shade, levels, cmap="Greys", alpha=0.5)
    ax.contour(x, y, shade, levels, colors="0.55", linewidths=0.4)
    ax.plot(*problem.start, "o", color="black", markersize=5, zorder=5)
    ax.plot(*problem.optimum, "*", color="gold", markeredgecolor="black", markersize=15, zorder=6)
    ax.set(title=problem.title, xlim=(left, right), ylim=(bottom, top))


def _path(ax: Any, path: Path, color: str) -> None:
    ax.plot(*path.points.T, color=color, linewidth=1.4, alpha=0.9)
    ax.plot(*path.points[-1], "o", color=color, markeredgecolor="white", markersize=7, zorder=4)


def _legend(figure: Any, labels: Sequence[str]) -> None:
    lines = import_module("matplotlib.lines")
    handles = [lines.Line2D([], [], color=f"C{i}", linewidth=3, label=label) for i, label in enumerate(labels)]
    width = 0.6 + 0.095 * max(len(label) for label in labels)  # inches of a line and its letters
    columns = max(1, min(len(labels), int(figure.get_figwidth() / width)))
    figure.set_figheight(figure.get_figheight() + 0.22 * (len(labels) // columns))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False)


def _unrated(text: str) -> str:
    """As it was written, without its lr."""
    before, _, after = at_rate(text, 0.0).partition("(0.0")
    rest = after.removesuffix(")").removeprefix(", ")
    return f"{before}({rest})" if rest else before


def _needed(module: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise SamestepError(f"samestep plot needs matplotlib ({error}): pip install 'samestep[demo]'") from error


def _count(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"a whole number, at least {least}; got {text!r}")
    return int(text)


def _points(text: str) -> int:
    return _count(text, least=2)  # from LOW to HIGH


def _range(text: str) -> tuple[float, float]:
    low, colon, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not colon or not 1e-100 <= found[0] < found[1] <= 1e100:  # what matplotlib can label
        raise argparse.ArgumentTypeError(
            f"LOW:HIGH with 0 < LOW < HIGH, from 1e-100 to 1e100, such as 1e-4:1; got {text!r}"
        )
    return found
