"""The toy problem of ADOPT: Adam and AMSGrad leave the minimum, ADOPT finds it with every beta2.

Taniguchi et al., "ADOPT: Modified Adam Can Converge with Any beta2 with the Optimal Rate", 2024,
https://arxiv.org/abs/2411.02853, figure 1; the quartiles are those of Tony-Y/adopt-toy-problem (data/README.md).

    python benchmarks/papers/adopt_toy.py [--out DIR] [--steps N | --steps full]

f = theta on [-1, 1], from 0; its gradient is k^2 with probability 1/k, else -k, which is 1 in the mean. beta1 = 0.9,
lr = 0.01 / sqrt(1 + 0.01 i), 1000 samples; theta is clipped after each step. To 1e-12 up to step 5000, 1e-6 after it.
"""

import csv
import sys
from math import sqrt
from pathlib import Path

import numpy as np

import samestep as ss
from report import Row, run, together

PUBLISHED = Path(__file__).parent / "data" / "adopt_toy_published.csv"
KS, BETAS, SAMPLES, CHUNK = (10, 50), (0.1, 0.5, 0.999), 1000, 1000
QUARTILES = {"low": 0.25, "median": 0.5, "high": 0.75}
MAKE = {
    "adam": lambda beta2: ss.adam(beta2=beta2, eps=0.0, bias_correction=False),
    "amsgrad": lambda beta2: ss.adam(beta2=beta2, eps=0.0, amsgrad="paper"),
    "adopt": lambda beta2: ss.adopt(beta2=beta2, eps=0.0, clip=None),
}


def published():
    """(k, beta2, algorithm, steps) -> its three quartiles."""
    found = {}
    with PUBLISHED.open() as file:
        for row in csv.DictReader(file):
            _, k, *beta2, algorithm = row["file"].split("_")
            beta = float(beta2[0][1:].replace("-", ".")) if beta2 else 0.999
            found[int(k[1:]), beta, algorithm, int(row["steps"])] = {q: float(row[q]) for q in QUARTILES}
    return found


def gradients(steps):
    """Each step's, with a row for each k; every published file has a generator of its own, seeded with 1."""
    rngs = [np.random.default_rng(1) for _ in KS]
    for start in range(0, steps, CHUNK):
        size = (min(CHUNK, steps - start), SAMPLES)
        rare = [np.where(rng.binomial(1, 1 / k, size), k * k, -k) for rng, k in zip(rngs, KS, strict=True)]
        yield from np.stack(rare, axis=1).astype(float)


def samples(steps, at):
    """Step -> leaf -> the samples after it, with a row for each k."""
    optimizer = together({f"{a}, beta2 {b}": make(b) for a, make in MAKE.items() for b in BETAS})
    theta = {f"{a}, beta2 {b}": np.zeros((len(KS), SAMPLES)) for a in MAKE for b in BETAS}
    state, found = optimizer.init(theta), {}
    for i, g in enumerate(gradients(steps)):
        lr = 0.01 / sqrt(1 + 0.01 * i)
        theta, state = optimizer.step(theta, dict.fromkeys(theta, g), state, donate=True, lr=lr)
        for leaf in theta.values():
            np.clip(leaf, -1.0, 1.0, out=leaf)
        if i + 1 in at:
            found[i + 1] = {name: leaf.copy() for name, leaf in theta.items()}
    return found


def measure(steps):
    """The rows of all 18 files, and their quartiles on the way."""
    known = {key: q for key, q in published().items() if key[3] <= steps}
    at = {key[3] for key in known} | {int(i) for i in np.geomspace(1, steps, 100)}
    found, rows, curves = samples(steps, at), [], {}
    for k, beta2, algorithm in dict.fromkeys(key[:3] for key in known):
        series = [(i, found[i][f"{algorithm}, beta2 {beta2}"][KS.index(k)]) for i in sorted(found)]
        quartiles = {i: dict(zip(QUARTILES, np.quantile(x, [*QUARTILES.values()]), strict=True)) for i, x in series}
        curves[k, beta2, algorithm] = quartiles
        for (*_, i), expected in (item for item in known.items() if item[0][:3] == (k, beta2, algorithm)):
            for q, value in expected.items():
                name = f"k {k}, beta2 {beta2}, {algorithm}: {q} at {i}"
                rows.append(Row(name, float(quartiles[i][q]), value, 1e-12 if i <= 5000 else 1e-6))
    return rows, (curves, known)


def draw(figure, measured):
    """The median and the quartiles of each; dots: the published medians."""
    curves, known = measured
    figure.set_size_inches(11, 6)
    figure.suptitle("theta, to be -1: median and quartiles of 1000 samples; dots: published")
    axes = figure.subplots(len(KS), len(BETAS), sharex=True, sharey=True)
    for (k, beta2, algorithm), quartiles in curves.items():
        ax, color = axes[KS.index(k), BETAS.index(beta2)], f"C{[*MAKE].index(algorithm)}"
        steps = [*quartiles]
        low, median, high = ([quartiles[i][q] for i in steps] for q in QUARTILES)
        ax.plot(steps, median, color=color, label=algorithm)
        ax.fill_between(steps, low, high, color=color, alpha=0.15, linewidth=0)
        dots = [key for key in known if key[:3] == (k, beta2, algorithm)]
        ax.plot([key[3] for key in dots], [known[key]["median"] for key in dots], "o", color=color, markersize=4)
        ax.set(xscale="log", title=f"k = {k}, beta2 = {beta2}", ylim=(-1.05, 1.05))
        ax.grid(alpha=0.3)
    axes[0, 0].legend(loc="lower left", frameon=False)
    for ax in axes[-1]:
        ax.set_xlabel("step")


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=5000, full=2_000_000)


if __name__ == "__main__":
    sys.exit(main())
