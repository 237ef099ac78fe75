"""SVRG, L-SVRG, Katyusha, L-Katyusha and Natasha-1 on ridge regression, beside the recorded distances to the optimum.

    python benchmarks/papers/variance_reduction.py [--out DIR]

The numbers are those of the specification (part C, 5.7), made by a script of its own. Exits with 1 if one is missed.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

import samestep as ss

N, EPOCHS, TOLERANCE = 200, (1, 5, 10, 20, 30), 1e-6
EVERY = 2 * N
DERIVED = {  # f - f* after so many epochs, seed 1
    "svrg": (2.345202e-01, 1.529363e-02, 2.707147e-03, 2.757507e-04, 5.286797e-05),
    "l_svrg": (1.827936e-01, 1.524099e-02, 2.666502e-03, 2.719435e-04, 5.205631e-05),
    "katyusha": (3.285397e-01, 1.421250e-02, 3.260940e-04, 6.257888e-06, 3.201795e-07),
    "katyusha_ns": (4.298348e-01, 5.637324e-03, 2.756219e-04, 4.071780e-06, 5.128129e-07),
    "l_katyusha": (6.456874e-02, 7.717214e-04, 5.269094e-06, 1.530201e-09, 5.834222e-14),
    "natasha": (3.802137e-01, 5.502278e-02, 1.457225e-02, 2.479567e-03, 6.856361e-04),
    "sgd": (1.618364e-01, 1.754223e-02, 2.524232e-03, 3.034943e-04, 3.614813e-04),
}


class Ridge:
    """200 rows, 10 columns of different scales; f(x) = mean (a x - y)^2 / 2 + mu |x|^2 / 2."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.a = rng.standard_normal((N, 10)) * np.logspace(-1, 0.3, 10)
        self.y = self.a @ rng.standard_normal(10) + 0.1 * rng.standard_normal(N)
        self.mu = 1e-2
        self.smoothness = (self.a**2).sum(axis=1).max() + self.mu
        gram = self.a.T @ self.a / N + self.mu * np.eye(10)
        self.best = self.value(np.linalg.solve(gram, self.a.T @ self.y / N))

    def value(self, x):
        """The objective."""
        return ((self.a @ x - self.y) ** 2).mean() / 2 + self.mu / 2 * x @ x

    def gradient(self, x, i=slice(None)):
        """That of the rows i."""
        a, y = np.atleast_2d(self.a[i]), np.atleast_1d(self.y[i])
        return a.T @ (a @ x - y) / len(y) + self.mu * x


def optimizers(ridge):
    """Each of the table, and the point of its params and state at which the table has f."""
    lr, largest = 0.3 / ridge.smoothness, 1 / ridge.smoothness
    last, snapshot = (lambda p, state: p), (lambda p, state: state["snapshot"])
    return {
        "svrg": (ss.svrg(lr, every=EVERY), snapshot),
        "l_svrg": (ss.l_svrg(lr), last),
        "katyusha": (ss.katyusha(largest, every=EVERY, convexity=ridge.mu), snapshot),
        "katyusha_ns": (ss.katyusha(largest, every=EVERY), snapshot),
        "l_katyusha": (ss.l_katyusha(largest, n=N, convexity=ridge.mu), last),
        "natasha": (ss.natasha(lr, sigma=1e-3, every=EVERY, parts=10), last),
        "sgd": (ss.sgd(lr), last),
    }


def distances(ridge, name, optimizer, point, epochs, seed=1):
    """f - f* after each epoch."""
    rng, params = np.random.default_rng(seed), np.zeros(10)
    state, found = optimizer.init(params), []
    for step in range(1, epochs * EVERY + 1):
        i, tossed = rng.integers(N), {}
        if name.startswith("l_"):
            tossed["coin"] = rng.random() < 1 / N
        if optimizer.needs_refresh(state):
            full = ridge.gradient(optimizer.query(params, state)["snapshot"])
            state = optimizer.refresh(params, full, state)
        points = optimizer.query(params, state)
        grads = {at: ridge.gradient(where, i) for at, where in points.items()}
        params, state = optimizer.step(params, grads if name != "sgd" else grads["x"], state, **tossed)
        if step % EVERY == 0:
            found.append(ridge.value(point(params, state)) - ridge.best)
    return found


def rows(epochs=EPOCHS):
    """(optimizer, epoch, measured, derived, whether it is within the tolerance), and the curves."""
    ridge, table, curves = Ridge(), [], {}
    for name, (optimizer, point) in optimizers(ridge).items():
        curves[name] = distances(ridge, name, optimizer, point, max(epochs))
        for epoch in epochs:
            measured, derived = curves[name][epoch - 1], DERIVED[name][EPOCHS.index(epoch)]
            near = abs(measured - derived) <= TOLERANCE * derived if derived > 1e-9 else measured < 1e-11
            table.append((name, epoch, measured, derived, bool(near)))
    return table, curves


def main(arguments=None):
    """Print the table, write the figure; 1 if a number is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "figures")
    out = parser.parse_args(arguments).out
    with ss.use_backend("numpy"):
        table, curves = rows()
    print(f"{'optimizer':<12} {'epoch':>5} {'measured':>14} | {'derived':>14} | {'difference':>10}")
    for name, epoch, measured, derived, near in table:
        flag = "" if near else "  MISSED"
        print(f"{name:<12} {epoch:>5} {measured:>14.6e} | {derived:>14.6e} | {measured - derived:>10.1e}{flag}")
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 5))
    for name, curve in curves.items():
        (line,) = axes.semilogy(range(1, len(curve) + 1), np.maximum(curve, 1e-16), label=name)
        axes.plot(EPOCHS, DERIVED[name], "o", color=line.get_color(), markersize=4)
    axes.set(xlabel="epoch (2 n steps)", ylabel="f - f*", title="Ridge regression; dots: the recorded numbers")
    axes.legend()
    out.mkdir(parents=True, exist_ok=True)
    figure.savefig(out / "variance_reduction.png", dpi=120)
    plt.close(figure)
    return 0 if all(row[-1] for row in table) else 1


if __name__ == "__main__":
    sys.exit(main())
