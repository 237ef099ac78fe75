"""What no package here has of Amos: part A, card 3, in plain NumPy; and the rule derived from it, at its end."""

import numpy as np


def amos(s, p, g, t, eta, axis=None):
    """Clip, extra_l2, momentum; one number a leaf, or one for each entry along an axis of a matrix."""
    xi, beta, c, d, extra, mu = 0.1, 0.98, 0.5, 0.4, 0.01, 0.8
    g = np.clip(g, -0.5, 0.5)
    g2 = np.mean(g**2, axis=axis, keepdims=axis is not None)
    s["v"] = beta * s.get("v", 0.0) + (1 - beta) * g2
    r = (1 - beta**t) / np.maximum(s["v"], 2.0**-125)
    b = s.get("b", 0.0)
    gamma = (1 + c * np.sqrt(xi) * b) ** -0.5 * xi**2 * r * g2
    il = xi * eta
    delta = (1 / (1 + d * np.sqrt(il) * b)) * (-(gamma / 2 + extra) * p - il * np.sqrt(r) * g)
    s["b"] = b + gamma * (1 + b)
    s["e"] = mu * s.get("e", 0.0) + (1 - mu) * delta
    return p + s["e"]


def along_first(s, p, g, t):
    """Slots of shape (n, 1), eta of (out, in) kernels."""
    return amos(s, p, g, t, np.sqrt(2 / p.shape[1]) if p.ndim == 2 else 0.5, axis=1 if p.ndim == 2 else None)


def along_last(s, p, g, t):
    """Slots of shape (1, n), eta of (in, out) kernels."""
    return amos(s, p, g, t, np.sqrt(2 / p.shape[0]) if p.ndim == 2 else 0.5, axis=0 if p.ndim == 2 else None)


def own_scale(s, p, g, t):
    """An eta of the caller's."""
    return amos(s, p, g, t, 1.0 / (1 + p.size))


def fallen(power):
    """Su's rule on the direction of plain momentum; `power` 1: 1 / (2 a p t + 1), 2: 1 / (a p t + 1)^2."""

    def rule(s, p, g, t):
        a0, p0, q = 0.05, 0.3, 0.5
        u = s["m"] = 0.9 * s.get("m", 0.0) + g
        falls = 1 / (2 * a0 * p0 * t + 1) if power == 1 else 1 / (a0 * p0 * t + 1) ** 2
        norm = np.linalg.norm(u)
        alpha = a0 * np.sqrt(p.size) * 0.5 / norm * falls if norm else 0.0
        return p - alpha * u - a0**2 / (2 * q) * falls * p

    return rule


NUMBERS = {"beta": 0.98, "c": 0.5, "d": 0.4, "extra_l2": 0.01, "momentum": 0.8, "clip": 0.5}


def followed(ss, form):
    """The rule behind momentum."""
    return ss.chain(ss.sgd(0.05, momentum=0.9), ss.amos_schedule(eta=0.5, speed=0.3, q=0.5, form=form))


TRANSCRIPTIONS = {
    "amos_rows": (lambda ss: ss.amos(0.1, unit_axis=0, **NUMBERS), along_first),
    "amos_cols": (lambda ss: ss.amos(0.1, unit_axis=-1, layout="in_out", **NUMBERS), along_last),
    "amos_scale": (
        lambda ss: ss.amos(0.1, eta=ss.per_leaf(lambda path, shape: 1.0 / (1 + np.prod(shape))), **NUMBERS),
        own_scale,
    ),
    "amos_schedule": (lambda ss: followed(ss, "inverse_time"), fallen(1)),
    "amos_schedule_fixed": (lambda ss: followed(ss, "fixed_rate"), fallen(2)),
}
