"""What no package has of the lean and layerwise optimizers; in plain NumPy, from part A and part C."""

import numpy as np


def mars_zeros(s, p, g, t):
    """Part C, C17, g_prev0 "zeros", as the authors have it: the first correction is of the whole gradient."""
    c = g + 0.025 * 0.95 / 0.05 * (g - s.get("g", 0.0))
    c = c / max(1.0, np.linalg.norm(c))
    s["g"] = g.copy()
    s["m"] = 0.95 * s.get("m", 0.0) + 0.05 * c
    s["v"] = 0.99 * s.get("v", 0.0) + 0.01 * c**2
    return p - 0.01 * (s["m"] / (1 - 0.95**t)) / (np.sqrt(s["v"]) / np.sqrt(1 - 0.99**t) + 1e-4)


def lars_plain(s, p, g, t):
    """Part A 17, the paper, without momentum: the ratio alone."""
    a, b = np.linalg.norm(p), np.linalg.norm(g)
    ratio = 0.01 * a / (b + 0.1 * a) if a > 0 and b > 0 else 1.0
    return p - 0.5 * ratio * (g + 0.1 * p)


def adafactor(s, g, t):
    """Part A 9, steps 1 to 3."""
    b, q = 1 - t**-0.8, g * g + 1e-30
    if g.ndim > 1:
        s["r"] = b * s.get("r", 0.0) + (1 - b) * q.mean(axis=-1, keepdims=True)
        s["c"] = b * s.get("c", 0.0) + (1 - b) * q.mean(axis=-2, keepdims=True)
        u = g / np.sqrt(s["r"] / s["r"].mean(axis=-2, keepdims=True)) / np.sqrt(s["c"])
    else:
        s["v"] = b * s.get("v", 0.0) + (1 - b) * q
        u = g / np.sqrt(s["v"])
    return u / max(1.0, np.sqrt((u * u).mean()))


def adafactor_unscaled(s, p, g, t):
    """Step 4, scale_parameter False: tensor2tensor takes 0.05 of the relative step."""
    return p - 0.05 * min(0.01, 1 / np.sqrt(t)) * adafactor(s, g, t)


def adafactor_direction(s, p, g, t):
    """Step 5, bojone's: the momentum is of u, before its size."""
    s["m"] = 0.9 * s.get("m", 0.0) + 0.1 * adafactor(s, g, t)
    return p - min(0.01, 1 / np.sqrt(t)) * max(1e-3, np.sqrt((p * p).mean())) * s["m"]


TRANSCRIPTIONS = {
    "adafactor_unscaled": (
        lambda ss: ss.adafactor(scale_parameter=False, fixed_scale=0.05),
        adafactor_unscaled,
    ),
    "adafactor_direction": (lambda ss: ss.adafactor(beta1=0.9, momentum_on="direction"), adafactor_direction),
    "lars_plain": (lambda ss: ss.lars(0.5, momentum=0.0, weight_decay=0.1, trust_coefficient=0.01), lars_plain),
    "mars_zeros": (lambda ss: ss.mars(0.01, g_prev0="zeros", eps=1e-4), mars_zeros),
}
