"""Gradient accumulation hidden in the momentum is true accumulation, without its buffer.

Su, "Gradient accumulation hidden in momentum", 2021, https://kexue.fm/archives/8634.

    python benchmarks/papers/hidden_accumulation.py [--out DIR] [--steps N]

40 gradients of a noisy quadratic, 4 for each step: the heavy ball of means ends where a step with the mean
gradient does (1e-14), also where NumPy's heavy ball on mean gradients does, and its state is smaller by the params.
With Adam, v is a mean of squares in place of a square of means: no identity, and the row says so.
"""

import sys

import numpy as np

import samestep as ss
from report import Row, run

K, STEPS, LR, BETA = 4, 40, 0.1, 0.9
SCALES = np.geomspace(0.1, 4.0, 50)
INNER = {"sgd": ss.sgd(LR, momentum=BETA, form="ema"), "adam": ss.adam(LR)}


def gradients(steps):
    """Noise of each step, the same for all."""
    return np.random.default_rng(5).standard_normal((steps, len(SCALES)))


def path(optimizer, noise):
    """Params before the first gradient and after each."""
    params = np.ones(len(SCALES))
    state, found = optimizer.init(params), [params]
    for z in noise:
        params, state = optimizer.step(params, SCALES * params + z, state)
        found.append(params)
    return np.array(found)


def plain(noise):
    """NumPy's heavy ball of means, on the mean of K gradients."""
    p, m = np.ones(len(SCALES)), 0.0
    for z in noise.reshape(-1, K, len(SCALES)).mean(axis=1):
        m = BETA * m + (1 - BETA) * (SCALES * p + z)
        p = p - LR * m
    return p


def measure(steps):
    """The rows, and the paths of the norm."""
    if steps < K:
        return [], {}
    noise, rows, curves = gradients(steps - steps % K), [], {}
    for name, inner in INNER.items():
        hidden, true = (ss.chain(part(K), inner) for part in (ss.hidden_accumulation, ss.accumulate))
        a, b = path(hidden, noise), path(true, noise)
        curves[f"{name}, accumulated"], curves[f"{name}, hidden"] = np.abs(b).mean(axis=1), np.abs(a).mean(axis=1)
        off = float(np.abs(a - b).max())
        if name == "adam":
            rows.append(Row("adam: is an approximation only (1: differs by more than 1e-3)", float(off > 1e-3), 1, 0.0))
            continue
        rows.append(Row(f"{name}: hidden against true, largest difference", off, 0.0, 1e-14))
        last = float(np.abs(a[-1] - plain(noise)).max())
        rows.append(Row(f"{name}: hidden against NumPy on mean gradients", last, 0.0, 1e-14))
        saved = true.state_bytes(a[0]) - hidden.state_bytes(a[0])
        rows.append(Row(f"{name}: bytes of state that are saved", float(saved), float(a[0].nbytes), 0.0))
    return rows, curves


def draw(figure, curves):
    """Mean |p| against the gradients seen: hidden lies on accumulated, but for Adam."""
    ax = figure.subplots()
    for i, (name, values) in enumerate(curves.items()):
        style = {"linestyle": "--"} if "hidden" in name else {"linewidth": 4, "alpha": 0.4}
        ax.plot(values, color=f"C{i // 2}", label=name, **style)
    ax.set(xlabel="gradients", ylabel="mean |p|", title=f"Accumulation of {K} gradients, hidden and true")
    ax.legend(frameon=False)
    ax.grid(alpha=0.3)


def main(argv=None):
    """Print the table, draw the figure; 1 if a number is off."""
    return run(measure, draw, argv, steps=STEPS)


if __name__ == "__main__":
    sys.exit(main())
