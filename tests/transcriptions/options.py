"""Options of pages that have a package otherwise; in plain NumPy, written without looking at our pages."""

import numpy as np


def amsgrad_inplace(s, p, g, t):
    """Part B 5.2: v <- v + k_t max(g^2 - v, 0), k_t = (1 - b2) / (1 - b2^t): one buffer that never falls."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = s.get("v", 0) + 0.1 / (1 - 0.9**t) * np.maximum(g * g - s.get("v", 0), 0)
    return p - 0.01 * (s["m"] / (1 - 0.9**t)) / (np.sqrt(s["v"]) + 1e-8)


def multiplier(count):
    """The s_t of the paper of AdamW."""
    return (1 + count % 4) / 4


def adamw_paper(s, p, g, t):
    """Part B 5.3: w - s_t (alpha m_hat / (sqrt(v_hat) + eps) + l w): s_t scales both, and alpha not the decay."""
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.99 * s.get("v", 0) + 0.01 * g * g
    m_hat, v_hat = s["m"] / (1 - 0.9**t), s["v"] / (1 - 0.99**t)
    return p - multiplier(t - 1) * (0.02 * m_hat / (np.sqrt(v_hat) + 1e-8) + 0.01 * p)


def adamw_proximal(s, p, g, t):
    """Part B 0: (w - lr u) / (1 + lr l)."""
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.99 * s.get("v", 0) + 0.01 * g * g
    lr = 0.02 * multiplier(t - 1)
    return (p - lr * s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.99**t)) + 1e-8)) / (1 + lr * 0.1)


def sgdw_paper(s, p, g, t):
    """Part B 5.3, algorithm 1 of the paper: m <- b m + s_t alpha g, w <- w - m - s_t l w."""
    s["m"] = 0.9 * s.get("m", 0) + multiplier(t - 1) * 0.02 * g
    return p - s["m"] - multiplier(t - 1) * 0.01 * p


def adan_paper(s, p, g, t):
    """Part A 11, "the paper": no bias correction and eps inside the root; the rest as in the authors' code."""
    d = g - s.get("g", g)
    s["g"] = g
    s["m"] = 0.98 * s.get("m", 0) + 0.02 * g
    s["d"] = 0.92 * s.get("d", 0) + 0.08 * d
    s["n"] = 0.99 * s.get("n", 0) + 0.01 * (g + 0.92 * d) ** 2
    return (p - 0.01 * (s["m"] + 0.92 * s["d"]) / np.sqrt(s["n"] + 1e-4)) / (1 + 0.01 * 0.1)


def adan_algorithm_1(s, p, g, t):
    """Part A 11, the paper's start, which is its restart too: m = g, d = 0, n = g^2; decoupled decay."""
    d = g - s.get("g", g)
    s["g"] = g
    s["m"] = 0.98 * s["m"] + 0.02 * g if t > 1 else g
    s["d"] = 0.92 * s["d"] + 0.08 * d if t > 1 else d
    s["n"] = 0.99 * s["n"] + 0.01 * (g + 0.92 * d) ** 2 if t > 1 else g * g
    return p * (1 - 0.01 * 0.1) - 0.01 * (s["m"] + 0.92 * s["d"]) / np.sqrt(s["n"] + 1e-4)


def adopt_normalized(s, p, g, t):
    """Part A 12 (b): the first momentum is the normalised gradient itself, without 1 - b1."""
    if t == 1:
        s["v"] = g * g
        return p
    x = g / np.maximum(np.sqrt(s["v"]), 0.01)
    s["m"] = 0.9 * s["m"] + 0.1 * x if "m" in s else x
    s["v"] = 0.99 * s["v"] + 0.01 * g * g
    return p - 0.01 * s["m"]


def lion_mask_only(s, p, g, t):
    """Part A 1 and 2: the direction where it agrees with the gradient, scale "none"."""
    m = s.get("m", 0 * g)
    u = np.sign(0.9 * m + 0.1 * g)
    s["m"] = 0.99 * m + 0.01 * g
    return p - 0.01 * np.where(u * g > 0, u, 0.0)


def c_adamw_hat(s, p, g, t):
    """Part A 2, the path foreach=False: decay first, the mask of m g, eps beside the raw root."""
    p = p * (1 - 0.01 * 0.1)
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    mask = (s["m"] * g > 0).astype(float)
    mask = mask / max(mask.mean(), 1e-3)
    return p - 0.01 * np.sqrt(1 - 0.99**t) / (1 - 0.9**t) * s["m"] * mask / (np.sqrt(s["v"]) + 1e-4)


def lars_of_the_momentum(s, p, g, t):
    """Part A 17, SimCLR's other form: momentum first, the ratio from the norm of the update, lr outside."""
    s["m"] = 0.9 * s.get("m", 0) + (g + 0.1 * p)
    a, b = np.sqrt(np.sum(p * p)), np.sqrt(np.sum(s["m"] ** 2))
    return p - 0.5 * (0.01 * a / b if a > 0 and b > 0 else 1.0) * s["m"]


def padam_paper(s, p, g, t):
    """Part A 15, "the paper": no bias correction."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    s["x"] = np.maximum(s.get("x", 0), s["v"])
    return p - 0.1 * s["m"] / (np.sqrt(s["x"]) + 1e-2) ** 0.5


def lamb_held(s, p, g, t):
    """Part A 18, phi: the norm of p is held between two, of which the lower counts from a p of 0 on."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    u = s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.99**t)) + 1e-4)
    a, b = np.clip(np.sqrt(np.sum(p * p)), 1.0, 1.5), np.sqrt(np.sum(u * u))
    return p - 0.05 * (a / b if b > 0 else 1.0) * u


def schedule_free_radam_at_z(s, p, g, t):
    """Part A 21: the step is silent until rho > 4, and then RAdam's; the decay is of z. p is y."""
    x, z = s.get("x", p), s.get("z", p)
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    last = 2 / 0.1 - 1
    rho = last - 2 * t * 0.9**t / (1 - 0.9**t)
    lr, d = 0.0, g
    if rho > 4:
        lr = 0.02 * np.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
        d = g / (np.sqrt(s["v"] / (1 - 0.9**t)) + 1e-4)
    s["z"] = z - lr * (d + 0.1 * z)
    s["most"] = max(s.get("most", 0), lr)
    s["sum"] = s.get("sum", 0) + s["most"] ** 2
    c = s["most"] ** 2 / s["sum"] if s["sum"] else 0.0
    s["x"] = (1 - c) * x + c * s["z"]
    return 0.8 * s["x"] + 0.2 * s["z"]


def schedule_free_inner(s, p, g, t):
    """Part A 21, what is newer than the package: a debiased mean of g in the numerator; p is y."""
    x, z = s.get("x", p), s.get("z", p)
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    d = s["m"] / (1 - 0.9**t) / (np.sqrt(s["v"] / (1 - 0.99**t)) + 1e-4) + 0.1 * p
    s["z"] = z - 0.01 * d
    s["x"] = x + (s["z"] - x) / t
    return 0.8 * s["x"] + 0.2 * s["z"]


TRANSCRIPTIONS = {
    "schedule_free_inner": (
        lambda ss: ss.schedule_free_adamw(0.01, beta1=0.8, beta2=0.99, eps=1e-4, weight_decay=0.1, inner_momentum=0.9),
        schedule_free_inner,
    ),
    "c_adamw_hat": (
        lambda ss: ss.c_adamw(0.01, beta2=0.99, eps=1e-4, eps_mode="hat", weight_decay=0.1),
        c_adamw_hat,
    ),
    "lars_of_the_momentum": (
        lambda ss: ss.chain(
            ss.decay(0.1, mode="coupled"), ss.momentum(0.9), ss.trust_ratio(trust_coefficient=0.01), ss.descend(0.5)
        ),
        lars_of_the_momentum,
    ),
    "lamb_held": (lambda ss: ss.lamb(0.05, beta2=0.99, eps=1e-4, phi=(1.0, 1.5)), lamb_held),
    "schedule_free_radam_at_z": (
        lambda ss: ss.schedule_free_radam(0.02, beta1=0.8, beta2=0.9, eps=1e-4, weight_decay=0.1, decay_at_z=True),
        schedule_free_radam_at_z,
    ),
    "padam_paper": (
        lambda ss: ss.padam(0.1, partial=0.25, beta2=0.99, eps=1e-2, bias_correction=False),
        padam_paper,
    ),
    "adam_amsgrad_inplace": (lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="inplace"), amsgrad_inplace),
    "adamw_paper": (
        lambda ss: ss.adamw(
            lambda count: 0.02 * multiplier(count),
            beta2=0.99,
            weight_decay=lambda count: 0.01 * multiplier(count),
            decay="independent",
        ),
        adamw_paper,
    ),
    "adamw_proximal": (
        lambda ss: ss.adamw(lambda count: 0.02 * multiplier(count), beta2=0.99, weight_decay=0.1, decay="proximal"),
        adamw_proximal,
    ),
    "sgdw_paper": (
        lambda ss: ss.sgdw(
            lambda count: 0.02 * multiplier(count),
            form="velocity",
            weight_decay=lambda count: 0.01 * multiplier(count),
            decay="independent",
        ),
        sgdw_paper,
    ),
    "adan_paper": (
        lambda ss: ss.adan(0.01, eps=1e-4, eps_mode="inside", bias_correction=False, weight_decay=0.1),
        adan_paper,
    ),
    "adan_algorithm_1": (
        lambda ss: ss.adan(
            0.01, eps=1e-4, eps_mode="inside", bias_correction=False, m_init="grad", weight_decay=0.1, no_prox=True
        ),
        adan_algorithm_1,
    ),
    "adopt_normalized": (
        lambda ss: ss.adopt(0.01, beta2=0.99, eps=0.01, clip=None, m_init="normalized"),
        adopt_normalized,
    ),
    "lion_mask_only": (lambda ss: ss.lion(0.01, cautious="none"), lion_mask_only),
}
