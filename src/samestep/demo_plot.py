"""The picture of `samestep demo --plot`: loss and accuracy of every run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from .demo import MODELS, Run, needed
from .errors import SamestepError


def plot(runs: Sequence[Run], file: Path) -> None:
    """Draw loss and accuracy of every run."""
    figure = needed("matplotlib.figure", "matplotlib").Figure(figsize=(10, 6.5), layout="constrained")
    axes = figure.subplots(2, len(MODELS), sharex=True, sharey="row", squeeze=False)
    lowest = min(0.8, *(model.wanted for model in MODELS), *(run.accuracies[-1] - 0.05 for run in runs))
    for column, model in enumerate(MODELS):
        above, below = axes[:, column]
        mine = [run for run in runs if run.model is model]
        for i, run in enumerate(mine):
            # Curves of the same bits lie on each other: each is thinner than the one below, so that all are seen.
            width = 1.5 + 6 * (1 - (i + 1) / len(mine))
            label = f"{run.runner.backend} on {run.runner.arrays} arrays, {1e6 * median(run.seconds):.0f} µs per step"
            above.plot(run.losses, color=f"C{i}", linewidth=width, solid_capstyle="round", label=label)
            below.plot(run.accuracies, color=f"C{i}", linewidth=width, solid_capstyle="round")
        below.axhline(model.wanted, color="0.5", linestyle=":", linewidth=1, zorder=1)
        at = ("axes fraction", "data")
        below.annotate(f"above {model.wanted}", (0.01, model.wanted), xycoords=at, va="bottom", color="0.4")
        above.set_title(str(model), fontsize=10)
        above.set_yscale("log")
        below.set_ylim(lowest, 1.0)
        below.set_xlabel("epoch")
        below.xaxis.get_major_locator().set_params(integer=True)
        above.legend(frameon=False, fontsize=9)
        for each in (above, below):
            each.grid(alpha=0.3)
            each.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("training loss")
    axes[1, 0].set_ylabel("accuracy on the held-out quarter")
    try:
        figure.savefig(file, dpi=150, format=file.suffix[1:] or "png")
    except (OSError, ValueError) as error:
        raise SamestepError(f"the plot cannot be written to {file}: {error}") from error
