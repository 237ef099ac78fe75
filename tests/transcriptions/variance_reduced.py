"""What takes two gradients a step, in plain NumPy, written from part B 2 and the papers before the pages had it.

`rule(batch, full, x, rows, coins) -> the params after each step`: `batch(x, i)` is the gradient of row i, `full(x)` of
all; an epoch has 8 steps. tests/test_verbs.py steps the optimizers along.
"""

import numpy as np

EVERY, LR = 8, 0.05
L1, L2 = 0.2, 0.3


def prox(x, step):
    """The minimum of |w - x|^2 / 2 + step (L1 |w| + L2 / 2 w^2)."""
    return np.sign(x) * np.maximum(np.abs(x) - step * L1, 0) / (1 + step * L2)


def svrg_average(batch, full, x, rows, coins):
    """Xiao, Zhang 2014: the snapshot is the mean of the iterates of the epoch, x_1 to x_m; the next starts there."""
    found = []
    for epoch in np.split(rows, len(rows) // EVERY):
        xs, mean_gradient, inner = x, full(x), []
        for i in epoch:
            x = x - LR * (batch(x, i) - batch(xs, i) + mean_gradient)
            inner.append(x)
        x = np.mean(inner, axis=0)
        found += [*inner[:-1], x]
    return found


def svrg_random(batch, full, x, rows, coins):
    """Johnson, Zhang 2013, option II: the snapshot is w_t, t in 0 to m - 1 where the coin says so (0 if it never does,
    the last of them if it does twice); the next epoch starts there.
    """
    found = []
    for epoch, tossed in zip(*(np.split(a, len(rows) // EVERY) for a in (rows, coins)), strict=True):
        xs, mean_gradient, iterates = x, full(x), [x]
        for i in epoch:
            x = x - LR * (batch(x, i) - batch(xs, i) + mean_gradient)
            iterates.append(x)
        x = iterates[max([0, *np.flatnonzero(tossed)])]
        found += [*iterates[1:-1], x]
    return found


def katyusha(option, convexity, smooth=20.0):
    """Allen-Zhu 2017, algorithm 1 (2 without convexity), with psi = L1 |x| + L2 / 2 |x|^2."""

    def rule(batch, full, x, rows, coins):
        y = z = xs = x
        found, m = [], EVERY
        for s, epoch in enumerate(np.split(rows, len(rows) // m)):
            tau1 = min(np.sqrt(m * convexity / (3 * smooth)), 0.5) if convexity else 2 / (s + 4)
            alpha, mean_gradient, inner = 1 / (3 * tau1 * smooth), full(xs), []
            for i in epoch:
                at = tau1 * z + 0.5 * xs + (0.5 - tau1) * y
                g = batch(at, i) - batch(xs, i) + mean_gradient
                z_new = prox(z - alpha * g, alpha)
                y = prox(at - g / (3 * smooth), 1 / (3 * smooth)) if option == "I" else at + tau1 * (z_new - z)
                z = z_new
                inner.append(y)
            xs = np.average(inner, axis=0, weights=(1 + alpha * convexity) ** np.arange(m))
            found += inner
        return found

    return rule


def natasha(draw):
    """Allen-Zhu 2017, Natasha-1 with psi: sub-epochs of 4 steps; then the mean of all five iterates, or one of x_0 to
    x_3 as in svrg_random.
    """

    def rule(batch, full, x, rows, coins):
        found, centre = [], x
        for k, i in enumerate(rows):
            if k % EVERY == 0:
                xs, mean_gradient = centre, full(centre)
            if k % 4 == 0:
                x, inner = centre, [centre]
            g = batch(x, i) - batch(xs, i) + mean_gradient + 2 * 0.3 * (x - centre)
            x = prox(x - LR * g, LR)
            inner.append(x)
            if k % 4 == 3:
                drawn = inner[max([0, *np.flatnonzero(coins[k - 3 : k + 1])])]
                x = centre = drawn if draw else np.mean(inner, axis=0)
            found.append(x)
        return found

    return rule


def mars(gamma, cautious):
    """Yuan et al. 2024, algorithm 2, exact: the difference is that of one batch between x_t and x_(t-1), x_0 = x_1.

    Part A 2, cautious: g is the gradient as the moments use it, and that is c.
    """

    def rule(batch, full, x, rows, coins):
        found, last, m, v = [], x, 0, 0
        for t, i in enumerate(rows, start=1):
            g = batch(x, i)
            c = g + gamma * 0.9 / (1 - 0.9) * (g - batch(last, i))
            c = c / max(1, np.sqrt(np.sum(c * c)))
            m, v = 0.9 * m + 0.1 * c, 0.99 * v + 0.01 * c * c
            last, u = x, m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.99**t)) + 1e-8)
            x = x - LR * ((u * (u * c > 0) if cautious else u) + 0.1 * x)
            found.append(x)
        return found

    return rule


TWO = {  # name -> (how it is written with samestep, whether it takes a coin, the rule)
    "svrg_average": (lambda ss: ss.svrg(LR, every=EVERY, iterate="average"), False, svrg_average),
    "svrg_random": (lambda ss: ss.svrg(LR, every=EVERY, iterate="random"), True, svrg_random),
    "katyusha_I_l1_l2": (
        lambda ss: ss.katyusha(1 / 20, every=EVERY, convexity=0.1, option="I", l1=L1, l2=L2),
        False,
        katyusha("I", 0.1),
    ),
    "katyusha_II_l1_l2": (lambda ss: ss.katyusha(1 / 20, every=EVERY, l1=L1, l2=L2), False, katyusha("II", 0)),
    "natasha_l1_l2": (lambda ss: ss.natasha(LR, sigma=0.3, every=EVERY, parts=2, l1=L1, l2=L2), False, natasha(False)),
    "mars_exact": (
        lambda ss: ss.mars(LR, beta1=0.9, gamma=0.1, weight_decay=0.1, exact=True),
        False,
        mars(0.1, cautious=False),
    ),
    "mars_exact_cautious": (
        lambda ss: ss.mars(LR, beta1=0.9, gamma=1.0, weight_decay=0.1, exact=True, cautious="none"),
        False,
        mars(1.0, cautious=True),
    ),
    "natasha_random_l1_l2": (
        lambda ss: ss.natasha(LR, sigma=0.3, every=EVERY, parts=2, iterate="random", l1=L1, l2=L2),
        True,
        natasha(True),
    ),
}
