"""AdaX remembers: the length of a step on gradients that fall geometrically, beside Adam's.

Li et al., "AdaX: Adaptive Gradient Descent with Exponential Long Term Memory", 2020, https://arxiv.org/abs/2004.09740.

    python benchmarks/papers/adax_geometric.py [--out DIR] [--steps N]

g_t = lam^(t - 1), without eps: |step| / lr at t = 1, 10, 50 and 200, and AdaX's closed form at every t,
m_t = 0.1 (lam^t - 0.9^t) / (lam - 0.9), v_t = beta2 sum_s (1 + beta2)^(t - s) lam^(2 s - 2) / ((1 + beta2)^t - 1).
The paper's own function is another one, which we could not read; the expected numbers are derived, in two ways.
"""

import sys

import numpy as np

import samestep as ss
from report import Row, run

STEPS, AT, LAMS = 200, (1, 10, 50, 200), (0.9, 0.95, 0.99)
DERIVED = {
    ("adam", 0.9): (1.0, 0.8755164512, 0.0896151913, 1.014e-07),
    ("adax", 0.9): (0.1, 0.5697341572, 0.0881619718, 9.62e-08),
    ("adam", 0.95): (1.0, 0.9470133770, 0.3221160529, 0.0003241286),
    ("adax", 0.95): (0.1, 0.6165279489, 0.3177171409, 0.0003081794),
    ("adam", 0.99): (1.0, 0.9911083089, 0.8410452808, 0.3080016513),
    ("adax", 0.99): (0.1, 0.6454713466, 0.8348153293, 0.2988839177),
}
OPTIMIZERS = {
    "adam": ss.adam(1.0, eps=0.0),
    "adax": ss.adax(1.0, beta2=1e-4, eps=0.0, weight_decay=0.0),
}


def lengths(optimizer, steps):
    """Of each step, for each lam."""
    lams = np.array(LAMS)
    params, found = np.zeros(len(lams)), []
    state = optimizer.init(params)
    for t in range(1, steps + 1):
        delta, state = optimizer.update(params, lams ** (t - 1), state)
        found.append(-delta)
    return np.array(found)


def closed(t, lam, beta2=1e-4):
    """AdaX's step in closed form."""
    m = 0.1 * t * 0.9 ** (t - 1) if lam == 0.9 else 0.1 * (lam**t - 0.9**t) / (lam - 0.9)
    s = np.arange(1, t + 1)
    v = beta2 * np.sum((1 + beta2) ** (t - s) * lam ** (2 * s - 2.0)) / ((1 + beta2) ** t - 1)
    return m / np.sqrt(v)


def measure(steps):
    """The rows, and the lengths."""
    curves = {name: lengths(optimizer, steps) for name, optimizer in OPTIMIZERS.items()}
    rows = []
    for (name, lam), expected in DERIVED.items():
        for t, value in zip(AT, expected, strict=True):
            if t <= steps:
                measured = float(curves[name][t - 1, LAMS.index(lam)])
                rows.append(Row(f"{name}, lam {lam}, t = {t}", measured, value, 1e-9))
    for k, lam in enumerate(LAMS):
        off = max(abs(curves["adax"][t - 1, k] - closed(t, lam)) for t in range(1, steps + 1))
        rows.append(Row(f"adax, lam {lam}: largest difference from the closed form", float(off), 0.0, 1e-12))
    return rows, curves


def draw(figure, curves):
    """|step| / lr against t."""
    ax = figure.subplots()
    for name, found in curves.items():
        for k, lam in enumerate(LAMS):
            style = "-" if name == "adax" else "--"
            ax.semilogy(range(1, len(found) + 1), found[:, k], style, color=f"C{k}", label=f"{name}, lam {lam}")
    ax.set(xlabel="t", ylabel="|step| / lr", title="Gradients that fall as lam^t")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=STEPS)


if __name__ == "__main__":
    sys.exit(main())
