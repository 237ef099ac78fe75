"""What the packages lack of adax, padam and sgdw, from the cards (part A 8 and 15, part B 5.3)."""

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


def sgdw_independent(s, p, g, t):
    """The paper: lr inside the buffer, decay without lr."""
    s["m"] = 0.9 * s.get("m", 0) + 0.01 * g
    return p * (1 - 0.001) - s["m"]


def sgdw_proximal(s, p, g, t):
    """The decay is implicit, after the step."""
    s["m"] = 0.9 * s.get("m", 0) + g
    return (p - 0.01 * s["m"]) / (1 + 0.01 * 0.1)


TRANSCRIPTIONS = {
    "adax_raw": (lambda ss: ss.adax(0.01, beta2=1e-2, eps=1e-4, eps_mode="hat", weight_decay=0.0), adax_raw),
    "adax_inside": (lambda ss: ss.adax(0.01, beta2=1e-2, eps=1e-4, eps_mode="inside", weight_decay=0.0), adax_inside),
    "padam_amsgrad": (lambda ss: ss.padam(0.1, beta2=0.9, eps=1e-3), padam_amsgrad),
    "sgdw_independent": (
        lambda ss: ss.sgdw(0.01, form="velocity", weight_decay=0.001, decay="independent"),
        sgdw_independent,
    ),
    "sgdw_proximal": (lambda ss: ss.sgdw(0.01, weight_decay=0.1, decay="proximal"), sgdw_proximal),
}
