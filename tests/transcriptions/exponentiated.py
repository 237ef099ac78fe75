"""EG+- and gains by exponentiated gradients, from the card (part A 4)."""

import numpy as np


def pair(s, p, g, t):
    """4a: two positive halves with g and -g."""
    plus, minus = s.get("w", ((abs(p) + 1 + p) / 2, (abs(p) + 1 - p) / 2))
    s["w"] = plus, minus = plus * np.exp(-0.001 * g), minus * np.exp(0.001 * g)
    return plus - minus


def pair_total(s, p, g, t):
    """4a: renormalised in each leaf, U w / (sum + 1e-7)."""
    plus, minus = s.get("w", ((abs(p) + 1 + p) / 2, (abs(p) + 1 - p) / 2))
    plus, minus = plus * np.exp(-0.001 * g), minus * np.exp(0.001 * g)
    factor = 3.0 / (plus.sum() + minus.sum() + 1e-7)
    s["w"] = plus, minus = factor * plus, factor * minus
    return plus - minus


def simple(s, p, g, t):
    """4b: nu is the exponential of a sum."""
    s["sum"] = s.get("sum", 0) + 1e-3 * s.get("g", 0 * g) * g
    s["g"] = g
    return p - 0.01 * np.exp(s["sum"]) * g


def momentum(s, params, grads, t):
    """4c: gains by the mean gradient, one scale by the last direction, over all parameters."""
    zeros = {k: 0 * p for k, p in params.items()}
    gain, m, h, log_scale = s.get("all", ({k: 1 + z for k, z in zeros.items()}, zeros, zeros, 0.0))
    log_scale += 1e-3 * sum((h[k] * g).sum() for k, g in grads.items())
    gain = {k: gain[k] * np.exp(1e-3 * m[k] * g) for k, g in grads.items()}
    m = {k: 0.9 * m[k] + 0.1 * g for k, g in grads.items()}
    h = {k: 0.8 * h[k] + 0.01 * gain[k] * g for k, g in grads.items()}
    s["all"] = gain, m, h, log_scale
    return {k: p - np.exp(log_scale) * h[k] for k, p in params.items()}


def momentum_of_one(s, p, g, t):
    """4c per leaf."""
    return momentum(s, {"": p}, {"": g}, t)[""]


TRANSCRIPTIONS = {
    "eg_gains_per_leaf": (
        lambda ss: ss.eg_gains(0.01, form="momentum", gamma=1e-3, bound=None, momentum=0.8, per_leaf=True),
        momentum_of_one,
    ),
    "egd_pm": (lambda ss: ss.egd_pm(0.001), pair),
    "egd_pm_total": (lambda ss: ss.egd_pm(0.001, total=3.0, eps=1e-7), pair_total),
    "eg_gains": (lambda ss: ss.eg_gains(0.01, gamma=1e-3, bound=None), simple),
}
WHOLE = {
    "eg_gains_momentum": (
        lambda ss: ss.eg_gains(0.01, form="momentum", gamma=1e-3, bound=None, momentum=0.8),
        momentum,
    ),
}
