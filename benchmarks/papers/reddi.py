"""Adam does not converge and AMSGrad does: the counterexample of a theorem, and the synthetic experiment.

Reddi, Kale, Kumar, "On the Convergence of Adam and Beyond", 2018, https://arxiv.org/abs/1904.09237, theorem 1 and
section 5. Both are linear on [-1, 1] with the minimum at -1, and x is projected after each step.

    python benchmarks/papers/reddi.py [--out DIR] [--steps N]

Theorem 1: gradient C in step 1, 4, 7, ..., else -1; from 1, beta1 = 0, beta2 = 1 / (1 + C^2), lr = 0.5 sqrt(1 - beta2)
/ sqrt(t). Adam is at 1 after every third step. Synthetic: 1010 in step 1, 102, 203, ..., or with probability 0.01,
else -10; from 0, beta2 = 0.99, lr = 1e-3. The numbers are derived by plain NumPy; the paper has the signs.
"""

import sys
from math import sqrt

import numpy as np

import samestep as ss
from report import Row, run, together

THEOREM_STEPS, SYNTHETIC_STEPS = 15_000, 100_000
PAPER = "amsgrad"  # as in the paper, without bias correction
CORRECTED = "amsgrad, corrected"
THEOREM = {  # (algorithm, C) -> x after so many steps
    (PAPER, 3): {30: 0.231940466678, 300: -0.980865126469, 3000: -0.993953568641, 15000: -0.997296134001},
    (PAPER, 4): {30: -0.021176785695, 300: -0.985583687401, 3000: -0.995444587368, 15000: -0.997962893384},
    (PAPER, 10): {30: -0.474918599314, 300: -0.994221965665, 3000: -0.998174198123, 15000: -0.999183531025},
    (CORRECTED, 3): {30: 0.256971980413},
    (CORRECTED, 4): {30: -0.006406961244},
    (CORRECTED, 10): {30: -0.472438940206},
}
RARE = {"online": 991, "stochastic": 1020}  # of 100,000 gradients so many are large
SYNTHETIC = {  # (gradients, algorithm) -> x after so many steps
    ("online", "adam"): {1000: 0.0182750124, 10_000: 0.1879928667, 50_000: 0.9385325683, 100_000: 0.9954730025},
    ("online", PAPER): {1000: -0.0007912918, 10_000: -0.0077434274, 50_000: -0.0411288108, 100_000: -0.0816941700},
    ("stochastic", "adam"): {1000: 0.1014871872, 10_000: 0.6591832073, 50_000: 1.0, 100_000: 1.0},
    ("stochastic", PAPER): {1000: 0.0639960890, 10_000: 0.0605093905, 50_000: 0.0516769058, 100_000: -0.1102940074},
}


def path(optimizer, x, gradients, steps):
    """Leaf -> x after each step; `gradients(t)` is that of every leaf."""
    state, found = optimizer.init(x), {name: np.empty((steps, *leaf.shape)) for name, leaf in x.items()}
    for t in range(1, steps + 1):
        x, state = optimizer.step(x, gradients(t), state, donate=True)
        for name, leaf in x.items():
            np.clip(leaf, -1.0, 1.0, out=leaf)
            found[name][t - 1] = leaf
    return found


def theorem(steps):
    """(algorithm, C) -> x after each step."""

    def makes(c):
        beta2 = 1 / (1 + c * c)

        def lr(count):
            return 0.5 * sqrt(1 - beta2) / (count + 1) ** 0.5

        common = {"beta1": 0.0, "beta2": beta2, "eps": 0.0}
        return {
            "adam": ss.adam(lr, **common),
            "adam, uncorrected": ss.adam(lr, bias_correction=False, **common),
            PAPER: ss.adam(lr, amsgrad="paper", **common),
            CORRECTED: ss.adam(lr, amsgrad="post", **common),
        }

    optimizers = {f"{name}, C {c}": (name, c, o) for c in (3, 4, 10) for name, o in makes(c).items()}
    big = {leaf: np.array(float(c)) for leaf, (_, c, _) in optimizers.items()}
    small = {leaf: np.array(-1.0) for leaf in optimizers}
    opt = together({leaf: o for leaf, (_, _, o) in optimizers.items()})
    x = path(opt, {leaf: np.array(1.0) for leaf in optimizers}, lambda t: big if t % 3 == 1 else small, steps)
    return {optimizers[leaf][:2]: values for leaf, values in x.items()}


def rare(steps):
    """Of each step, whether the gradient is the large one: online, and drawn."""
    drawn = np.random.default_rng(1).random(steps) < 0.01
    return np.stack([np.arange(steps) % 101 == 0, drawn], axis=1)


def synthetic(steps):
    """(gradients, algorithm) -> x after each step."""
    opt = together({"adam": ss.adam(1e-3, beta2=0.99), PAPER: ss.adam(1e-3, beta2=0.99, amsgrad="post")})
    g = np.where(rare(steps), 1010.0, -10.0)
    found = path(opt, {"adam": np.zeros(2), PAPER: np.zeros(2)}, lambda t: {"adam": g[t - 1], PAPER: g[t - 1]}, steps)
    return {(kind, name): x[:, i] for name, x in found.items() for i, kind in enumerate(RARE)}


def measure(steps):
    """The rows of both, and x after each step."""
    first, second = theorem(min(steps, THEOREM_STEPS)), synthetic(min(steps, SYNTHETIC_STEPS))
    rows = []
    for (name, c), x in first.items():
        if name.startswith("adam") and len(x) >= 3:
            rows.append(Row(f"theorem 1, C {c}, {name}: least x after a cycle", float(x[2::3].min()), 1.0, 0.0))
        # The correction is gone after 300 steps.
        for t, value in (THEOREM.get((PAPER, c), {}) | THEOREM[name, c] if (name, c) in THEOREM else {}).items():
            if t <= len(x):
                rows.append(Row(f"theorem 1, C {c}, {name}: x at {t}", float(x[t - 1]), value, 1e-10))
    if steps >= SYNTHETIC_STEPS:
        for kind, count, expected in zip(RARE, rare(SYNTHETIC_STEPS).sum(axis=0), RARE.values(), strict=True):
            rows.append(Row(f"{kind}: steps of 1010", int(count), expected, 0.0))
    for key, values in SYNTHETIC.items():
        for t, value in values.items():
            if t <= len(second[key]):
                rows.append(Row(f"{', '.join(key)}: x at {t}", float(second[key][t - 1]), value, 1e-9))
    return rows, (first, second)


def draw(figure, curves):
    """x against the step; dots: the derived numbers."""
    figure.set_size_inches(11, 4.5)
    figure.suptitle("Reddi, Kale, Kumar, 2018: the minimum is -1; dots: derived")
    titles = ("theorem 1, C = 3", "synthetic, online", "synthetic, stochastic")
    for title, ax in zip(titles, figure.subplots(1, 3), strict=True):
        kind = title.rpartition(" ")[2]
        here = (
            {name: (x[2::3], 3, THEOREM.get((name, c), {})) for (name, c), x in curves[0].items() if c == 3}
            if title.startswith("theorem")
            else {name: (x, 1, SYNTHETIC[kind, name]) for (k, name), x in curves[1].items() if k == kind}
        )
        for i, (name, (x, every, dots)) in enumerate(here.items()):
            style = {"color": f"C{i}", "linestyle": "--" if "corrected" in name else "-"}
            ax.plot(every * np.arange(1, len(x) + 1), x, label=name, **style)
            known = [t for t in dots if t <= every * len(x)]
            ax.plot(known, [dots[t] for t in known], "o", color=f"C{i}", markersize=4)
        ax.set(title=title, xlabel="step", ylim=(-1.08, 1.08))
        if every == 3:
            ax.set_xscale("log")
        ax.grid(alpha=0.3)
        ax.legend(frameon=False, fontsize=9)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=SYNTHETIC_STEPS)


if __name__ == "__main__":
    sys.exit(main())
