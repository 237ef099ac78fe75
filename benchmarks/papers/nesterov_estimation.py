"""Nesterov momentum estimation is Nesterov's accelerated gradient, seen at the points where it looks.

Xie et al., "Adan: Adaptive Nesterov Momentum Algorithm for Faster Optimizing Deep Models", 2022,
https://arxiv.org/abs/2208.06677, lemma 1.

    python benchmarks/papers/nesterov_estimation.py [--out DIR] [--steps N]

AGD is written out in NumPy: y = theta - lr b m; m <- b m + g(y); theta <- theta - lr m. The heavy ball on g + b (g -
g_prev) with g_prev = 0 at first, and sgd(nesterov=True), walk along its y (1e-14); started with g_prev = g they do not
(0.26). Adan's m + b d, read from its state, is the mean of those estimates where its two decays are equal.
"""

import sys

import numpy as np

import samestep as ss
from report import Row, run

STEPS, LR, B = 30, 0.05, 0.9
SCALES = np.array([4.0, 1.0, 0.1])


def gradient(p):
    """Of a quadratic, with a term that is none."""
    return SCALES * p + np.sin(p)


def agd(steps):
    """The points where AGD takes its gradients."""
    theta, m, found = np.ones(3), np.zeros(3), []
    for _ in range(steps + 1):
        y = theta - LR * B * m
        found.append(y)
        m = B * m + gradient(y)
        theta = theta - LR * m
    return np.array(found)


def path(optimizer, steps):
    """Params before the first step and after each, and the states after each."""
    params = np.ones(3)
    state, found, states = optimizer.init(params), [params], []
    for _ in range(steps):
        params, state = optimizer.step(params, gradient(params), state)
        found.append(params)
        states.append(state)
    return np.array(found), states


def adan(steps):
    """Largest difference of Adan's m + b d from the mean of the estimates; its g_prev is 0 after a gradient of 0."""
    optimizer, p = ss.adan(LR, beta1=B, beta2=B), np.ones(3)
    state, mean, before, off = optimizer.init(p), np.zeros(3), np.zeros(3), 0.0
    _, state = optimizer.step(p, np.zeros(3), state)
    for _ in range(steps):
        g = gradient(p)
        p, state = optimizer.step(p, g, state)
        mean = B * mean + (1 - B) * (g + B * (g - before))
        before = g
        off = max(off, float(np.abs(state["m"] + B * state["d"] - mean).max()))
    return off


def measure(steps):
    """The rows, and the distances from the minimum."""
    ball = ss.sgd(LR, momentum=B)
    makes = {
        "heavy ball on the estimate": ss.chain(ss.nesterov_estimate(B), ball),
        "sgd(nesterov=True)": ss.sgd(LR, momentum=B, nesterov=True),
        "heavy ball": ball,
    }
    y, rows, curves = agd(steps), [], {}
    curves["AGD, where it looks"] = np.linalg.norm(y, axis=1)
    for name, optimizer in makes.items():
        p, _ = path(optimizer, steps)
        curves[name] = np.linalg.norm(p, axis=1)
        if name != "heavy ball":
            rows.append(Row(f"{name}: largest difference from AGD", float(np.abs(p - y).max()), 0.0, 1e-14))
    started = path(ss.chain(ss.nesterov_estimate(B, first="grad"), ball), steps)[0]
    differs = float(np.abs(started - y).max() > 1e-2)
    rows.append(Row("with the first gradient as g_prev it differs (1)", differs, 1.0, 0.0))
    rows.append(Row("adan: m + b d, largest difference from the mean of estimates", adan(steps), 0.0, 1e-14))
    return rows, curves


def draw(figure, curves):
    """Distance from the minimum against the step."""
    ax = figure.subplots()
    for (name, values), style in zip(curves.items(), ("-", "--", ":", "-."), strict=True):
        ax.semilogy(values, style, label=name, linewidth=4 if style == "-" else 1.5, alpha=0.4 if style == "-" else 1)
    ax.set(xlabel="step", ylabel="|p|", title="Nesterov's gradient, looked up and estimated")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=STEPS)


if __name__ == "__main__":
    sys.exit(main())
