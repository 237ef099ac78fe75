"""What the packages lack of adax, padam, sgdw, laprop and radam, from the cards (parts A 8, A 15, B 5.3, B 6, C 6)."""

import numpy as np


def adax_raw(s, p, g, t):
    """The authors' code: the raw sum, eps beside its root."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = (1 + 1e-2) * s.get("v", 0) + 1e-2 * g * g
    return p - 0.01 * np.sqrt((1 + 1e-2) ** t - 1) * s["m"] / (np.sqrt(s["v"]) + 1e-4)


def adax_inside(s, p, g, t):
    """Su's article: sqrt(v_hat + eps)."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = (1 + 1e-2) * s.get("v", 0) + 1e-2 * g * g
    return p - 0.01 * s["m"] / np.sqrt(s["v"] / ((1 + 1e-2) ** t - 1) + 1e-4)


def padam_amsgrad(s, p, g, t):
    """Partial adaptivity 1/8 over the largest v, eps raised to the power too."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    s["x"] = np.maximum(s.get("x", 0), s["v"])
    step = 0.1 * np.sqrt(1 - 0.9**t) / (1 - 0.9**t)
    return p - step * s["m"] / (np.sqrt(s["x"]) + 1e-3) ** 0.25


def sgdw_proximal(s, p, g, t):
    """The decay is implicit, after the step."""
    s["m"] = 0.9 * s.get("m", 0) + g
    return (p - 0.01 * s["m"]) / (1 + 0.01 * 0.1)


def laprop_outside(s, p, g, t):
    """Part C 6, lr_in_momentum=False: m without lr, p - lr / c1 m, then the decay; under a schedule."""
    lr = 0.01 * (1 + (t - 1) % 3)
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g**2
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g / (np.sqrt(s["v"] / (1 - 0.99**t)) + 1e-6)
    p = p - lr / (1 - 0.9**t) * s["m"]
    return p - lr * 0.1 * p


def rho(t, b2=0.999):
    return 2 / (1 - b2) - 1 - 2 * t * b2**t / (1 - b2**t)


def radam_at_the_threshold(s, p, g, t):
    """Part B 6 with ">=": the step whose rho is the threshold itself is the first rectified one."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g**2
    step = s["m"] / (1 - 0.9**t)
    if t >= 8:
        r, end = rho(t), 2 / (1 - 0.999) - 1
        factor = np.sqrt((r - 4) * (r - 2) * end / ((end - 4) * (end - 2) * r))
        step = factor * step * np.sqrt(1 - 0.999**t) / (np.sqrt(s["v"]) + 1e-8)
    return p - 0.01 * step


TRANSCRIPTIONS = {
    "adax_raw": (lambda ss: ss.adax(0.01, beta2=1e-2, eps=1e-4, eps_mode="hat", weight_decay=0.0), adax_raw),
    "adax_inside": (lambda ss: ss.adax(0.01, beta2=1e-2, eps=1e-4, eps_mode="inside", weight_decay=0.0), adax_inside),
    "padam_amsgrad": (lambda ss: ss.padam(0.1, beta2=0.9, eps=1e-3), padam_amsgrad),
    "sgdw_proximal": (lambda ss: ss.sgdw(0.01, weight_decay=0.1, decay="proximal"), sgdw_proximal),
    "laprop_outside": (
        lambda ss: ss.laprop(
            lambda count: 0.01 * (1 + count % 3), beta2=0.99, eps=1e-6, weight_decay=0.1, lr_in_momentum=False
        ),
        laprop_outside,
    ),
    "radam_at_the_threshold": (lambda ss: ss.radam(0.01, threshold=rho(8), strict=False), radam_at_the_threshold),
}
