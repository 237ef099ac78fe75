"""Cautious momentum on a quadratic of two dimensions: the loss hardly rises any more.

Liang et al., "Cautious Optimizers: Improving Training with One Line of Code", 2024, https://arxiv.org/abs/2411.16085,
the toy example. The numbers are derived: start, curvatures and steps are of this library's own choice.

    python benchmarks/papers/cautious_quadratic.py [--out DIR] [--steps N]

f = 4 x^2 + y^2 from (1, 1), 400 steps of the heavy ball (lr 0.01) and AdamW (lr 0.05, betas 0.95 and 0.99, no decay),
with each cautious and without: losses to 1e-6 of themselves at 50 and 200, to a power of ten at 400 unless they are
rounding, and how often the loss rose by more than 1e-15, exactly.
"""

import sys
from itertools import pairwise
from math import log10

import numpy as np

import samestep as ss
from report import Row, run, together

STEPS, ROUNDING, RISE = 400, 1e-18, 1e-15
ADAMW = {"lr": 0.05, "beta1": 0.95, "beta2": 0.99, "weight_decay": 0.0}
EXPECTED = {  # the loss at 50, 200 and 400, and how often it rose
    "heavy ball 0.9": (5.947146e-03, 1.589208e-09, 4.566174e-19, 137),
    "heavy ball 0.9, none": (1.000709e-04, 3.346607e-17, 1.354947e-33, 3),
    "heavy ball 0.9, mean": (2.393494e-06, 7.574275e-19, 4.741601e-34, 4),
    "heavy ball 0.9, count": (1.476458e-04, 1.108950e-18, 1.579097e-33, 2),
    "heavy ball 0.99": (3.759899e-01, 5.650073e-01, 5.153720e-02, 200),
    "heavy ball 0.99, none": (1.151832e-03, 9.386595e-08, 1.124070e-11, 5),
    "heavy ball 0.99, mean": (1.146502e-02, 3.551270e-06, 4.348405e-13, 10),
    "heavy ball 0.99, count": (5.578389e-03, 4.516467e-08, 6.738187e-13, 3),
    "adamw": (1.490963e-01, 2.730560e-06, 3.037340e-09, 172),
    "adamw, mean": (1.662253e-04, 1.374634e-09, 0.0, 2),
}


def make(name):
    """The optimizer of a row."""
    rule, _, cautious = name.partition(", ")
    if rule == "adamw":
        return ss.adamw(cautious=cautious or False, **ADAMW)
    return ss.sgd(0.01, momentum=float(rule.split()[-1]), cautious=cautious or False)


def losses(steps):
    """Name -> the loss before the first step and after each."""
    curvature = np.array([4.0, 1.0])
    params = {name: np.ones(2) for name in EXPECTED}
    optimizer = together({name: make(name) for name in EXPECTED})
    state, found = optimizer.init(params), {name: [5.0] for name in EXPECTED}
    for _ in range(steps):
        grads = {name: 2 * curvature * p for name, p in params.items()}
        params, state = optimizer.step(params, grads, state, donate=True)
        for name, p in params.items():
            found[name].append(float(curvature @ (p * p)))
    return found


def measure(steps):
    """The rows, and the losses."""
    found, rows = losses(steps), []
    for name, (at50, at200, at400, rises) in EXPECTED.items():
        loss = found[name]
        for t, value in ((50, at50), (200, at200)):
            if t <= steps:
                rows.append(Row(f"{name}: loss at {t}", loss[t], value, 1e-6 * value))
        if steps >= STEPS:
            if at400 > ROUNDING:
                rows.append(Row(f"{name}: log10 of the loss at 400", log10(loss[400]), log10(at400), 1.0))
            else:
                rows.append(Row(f"{name}: loss at 400, 0 to 1e-18", loss[400], 0.0, ROUNDING))
            rose = sum(after > before + RISE for before, after in pairwise(loss[: STEPS + 1]))
            rows.append(Row(f"{name}: times the loss rose", rose, rises, 0.0))
    return rows, found


def draw(figure, found):
    """Loss against step, plain and cautious."""
    figure.suptitle("4 x² + y²: plain (black) and cautious; dots: derived")
    for title, ax in zip(("heavy ball 0.9", "heavy ball 0.99", "adamw"), figure.subplots(1, 3), strict=True):
        for i, (name, loss) in enumerate((n, x) for n, x in found.items() if n.partition(", ")[0] == title):
            color = f"C{i}" if i else "0.1"
            ax.semilogy(loss, color=color, label=name.partition(", ")[2] or "plain", linewidth=1)
            dots = [t for t in (50, 200) if t < len(loss)]
            ax.plot(dots, EXPECTED[name][: len(dots)], "o", color=color, markersize=4)
        ax.set(title=title, xlabel="step", ylim=(1e-20, 20))
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=STEPS)


if __name__ == "__main__":
    sys.exit(main())
