"""Variance reduction on ridge regression: steps of one row each that keep a linear rate, where those of SGD stall.

Johnson, Zhang, "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", 2013,
https://papers.nips.cc/paper/4937-accelerating-stochastic-gradient-descent-using-predictive-variance-reduction.
Kovalev, Horvath, Richtarik, "Don't Jump Through Hoops and Remove Those Loops", 2020, https://arxiv.org/abs/1901.08689.
Allen-Zhu, "Katyusha: The First Direct Acceleration of Stochastic Gradient Methods", 2017, https://arxiv.org/abs/1603.05953.

    python benchmarks/papers/variance_reduction.py [--out DIR] [--steps N]

f - f* of SVRG, L-SVRG, Katyusha in both forms, L-Katyusha, Natasha-1 and SGD after epochs of 400 steps, beside numbers
that a script of its own made from the equations (seed 1, to 1e-6); what an epoch leaves of it, from the 10th to the
30th, over seeds 1 to 5 (to the three digits that are known); and the claims. The optimizers are one step of `groups`,
scanned and vmapped over the seeds by JAX.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np

import samestep as ss
from report import Row, run, together

N, EPOCH, EPOCHS, SEEDS = 200, 400, (1, 5, 10, 20, 30), (1, 2, 3, 4, 5)
PROBLEM = {"L": 43.32083822901867, "f*": 0.04933421804815223, "f(0) - f*": 2.1531959316909624}
DERIVED = {  # f - f* after so many epochs, seed 1
    "svrg": (2.345202e-01, 1.529363e-02, 2.707147e-03, 2.757507e-04, 5.286797e-05),
    "l_svrg": (1.827936e-01, 1.524099e-02, 2.666502e-03, 2.719435e-04, 5.205631e-05),
    "katyusha": (3.285397e-01, 1.421250e-02, 3.260940e-04, 6.257888e-06, 3.201795e-07),
    "katyusha_ns": (4.298348e-01, 5.637324e-03, 2.756219e-04, 4.071780e-06, 5.128129e-07),
    "l_katyusha": (6.456874e-02, 7.717214e-04, 5.269094e-06, 1.530201e-09, 5.834222e-14),
    "natasha": (3.802137e-01, 5.502278e-02, 1.457225e-02, 2.479567e-03, 6.856361e-04),
    "sgd": (1.618364e-01, 1.754223e-02, 2.524232e-03, 3.034943e-04, 3.614813e-04),
}
CONTRACTION = {  # per epoch, epochs 10 to 30: least, median, largest of the seeds
    "svrg": (0.802, 0.812, 0.821),
    "l_svrg": (0.809, 0.813, 0.821),
    "katyusha": (0.660, 0.664, 0.707),
    "katyusha_ns": (0.709, 0.714, 0.730),
    "l_katyusha": (0.372, 0.400, 0.463),
    "natasha": (0.856, 0.858, 0.860),
}


class Ridge:
    """200 rows, 10 columns of different scales; f(x) = mean (a x - y)^2 / 2 + mu |x|^2 / 2."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.a = rng.standard_normal((N, 10)) * np.logspace(-1, 0.3, 10)
        self.y = self.a @ rng.standard_normal(10) + 0.1 * rng.standard_normal(N)
        self.mu = 1e-2
        self.smoothness = (self.a**2).sum(axis=1).max() + self.mu
        gram = self.a.T @ self.a / N + self.mu * np.eye(10)
        self.best = self.value(np.linalg.solve(gram, self.a.T @ self.y / N))
        self.a, self.y = jnp.asarray(self.a), jnp.asarray(self.y)

    def value(self, x):
        """The objective."""
        return ((self.a @ x - self.y) ** 2).mean() / 2 + self.mu / 2 * x @ x

    def of_row(self, x, i):
        """The gradient of one row."""
        return self.a[i] * (self.a[i] @ x - self.y[i]) + self.mu * x

    def gradient(self, x):
        """That of all."""
        return self.a.T @ (self.a @ x - self.y) / N + self.mu * x


def optimizers(ridge):
    """Those of the table that keep a snapshot."""
    lr, largest = 0.3 / ridge.smoothness, 1 / ridge.smoothness
    return {
        "svrg": ss.svrg(lr, every=EPOCH),
        "l_svrg": ss.l_svrg(lr),
        "katyusha": ss.katyusha(largest, every=EPOCH, convexity=ridge.mu),
        "katyusha_ns": ss.katyusha(largest, every=EPOCH),
        "l_katyusha": ss.l_katyusha(largest, n=N, convexity=ridge.mu),
        "natasha": ss.natasha(lr, sigma=1e-3, every=EPOCH, parts=10),
    }


def draws(seed, steps):
    """The row of each step, that of the loopless ones, whose generator tosses a coin after it, and the coin."""
    looped, loopless = np.random.default_rng(seed), np.random.default_rng(seed)
    return [(looped.integers(N), loopless.integers(N), loopless.random() < 1 / N) for _ in range(steps)]


def distances(ridge, seeds, epochs):
    """f - f* of each, by seed and epoch: at the snapshot of SVRG and Katyusha, at the params of the others."""
    made = optimizers(ridge)
    optimizer, sgd = together(made), ss.sgd(0.3 / ridge.smoothness)

    def refreshed(params, state, points):
        return optimizer.refresh(params, jax.tree.map(ridge.gradient, points["snapshot"]), state)

    def step(carry, drawn):
        (params, state, x, its_state), (i, j, coin) = carry, drawn
        points = optimizer.query(params, state)
        state = jax.lax.cond(
            optimizer.needs_refresh(state), lambda state: refreshed(params, state, points), lambda state: state, state
        )
        rows = {name: j if name.startswith("l_") else i for name in made}
        grads = {key: jax.tree.map(ridge.of_row, at, rows) for key, at in points.items()}
        return (*optimizer.step(params, grads, state, coin=coin), *sgd.step(x, ridge.of_row(x, i), its_state)), None

    def epoch(carry, drawn):
        carry, _ = jax.lax.scan(step, carry, drawn)
        params, state, x, _ = carry
        at_snapshot = {name: state["snapshot"][name] for name in ("svrg", "katyusha", "katyusha_ns")}
        return carry, {name: ridge.value(at) - ridge.best for name, at in ({**params, "sgd": x} | at_snapshot).items()}

    def of_seed(drawn):
        params, x = {name: jnp.zeros(10) for name in made}, jnp.zeros(10)
        return jax.lax.scan(epoch, (params, optimizer.init(params), x, sgd.init(x)), drawn)[1]

    drawn = np.array([draws(seed, epochs * EPOCH) for seed in seeds]).reshape(len(seeds), epochs, EPOCH, 3)
    return {name: np.asarray(found) for name, found in jax.jit(jax.vmap(of_seed))(drawn).items()}


def measure(steps):
    """The rows, and the curves of seed 1; rates and claims are of 30 epochs."""
    epochs = min(steps // EPOCH, EPOCHS[-1])
    if not epochs:
        return [], {}
    with jax.enable_x64(True):
        ridge = Ridge()
        is_so = (ridge.smoothness, ridge.best, float(ridge.value(np.zeros(10))) - ridge.best)
        found = distances(ridge, SEEDS, epochs)
    rows = [Row(name, x, a, 1e-12) for (name, a), x in zip(PROBLEM.items(), is_so, strict=True)]
    first = {name: found[name][0] for name in DERIVED}
    for name, derived in DERIVED.items():
        for epoch, value in zip(EPOCHS, derived, strict=True):
            if epoch <= epochs:
                tolerance = 1e-6 * value if value > 1e-9 else 1e-11  # below, only that it is small
                rows.append(Row(f"{name}, epoch {epoch}: f - f*", first[name][epoch - 1], value, tolerance))
    if epochs < EPOCHS[-1]:
        return rows, first
    rates = {name: np.sort((values[:, 29] / values[:, 9]) ** (1 / 20)) for name, values in found.items()}
    for name, expected in CONTRACTION.items():
        for what, rate, value in zip(("least", "median", "largest"), rates[name][[0, 2, 4]], expected, strict=True):
            rows.append(Row(f"{name}: {what} part that an epoch leaves", rate, value, 0.5001e-3))
    fast, slow = ("katyusha", "katyusha_ns", "l_katyusha"), ("svrg", "l_svrg")
    falls = {name: values[29] < values[19] for name, values in first.items()}
    claims = {
        "SGD stalls after epoch 20, no other does": falls == {name: name != "sgd" for name in DERIVED},
        "the accelerated ones contract faster": max(rates[x][-1] for x in fast) < min(rates[x][0] for x in slow),
        "L-SVRG is within 2 % of SVRG from epoch 10 on": abs(first["l_svrg"] / first["svrg"] - 1)[9:].max() < 0.02,
    }
    return rows + [Row(f"{claim} (1)", float(holds), 1.0, 0.0) for claim, holds in claims.items()], first


def draw(figure, curves):
    """f - f* against the epoch, with dots where a number is known."""
    ax = figure.subplots()
    for name, curve in curves.items():
        (line,) = ax.semilogy(range(1, len(curve) + 1), np.maximum(curve, 1e-16), label=name)
        known = [(epoch, value) for epoch, value in zip(EPOCHS, DERIVED[name], strict=True) if epoch <= len(curve)]
        ax.plot(*zip(*known, strict=True), "o", color=line.get_color(), markersize=4)
    ax.set(xlabel="epoch (2 n steps)", ylabel="f - f*", title="Ridge regression; dots: the derived numbers")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=EPOCH * EPOCHS[-1])


if __name__ == "__main__":
    sys.exit(main())
