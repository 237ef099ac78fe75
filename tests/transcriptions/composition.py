"""Cells of the composition that no package has: every sum kept and added up anew, groups by bisection (part B 8-10)."""

import numpy as np


def history(s, p, u, h, sigma=None):
    """The sums of the lazy argmin, out of all steps so far."""
    for name, x in (("u", u), ("w", p), ("h", h + 0 * p)):
        s.setdefault(name, []).append(x)
    terms = np.diff(np.array([0 * p, *s["h"]]), axis=0)
    if sigma is not None:
        terms = sigma(terms, np.array(s["h"]))
    return np.sum(s["u"], axis=0) - np.sum(terms * np.array(s["w"]), axis=0), np.sum(terms, axis=0)


def soft(z, by):
    return np.sign(z) * np.maximum(np.abs(z) - by, 0)


def half_root(a, weight):
    """The w > 0 that minimises -a w + w^2 / 2 + weight sqrt(w), or 0: the larger root of a cubic in sqrt(w)."""
    roots = np.roots([1.0, 0.0, -a, weight / 2])
    real = [r.real for r in roots if abs(r.imag) < 1e-9 and r.real > 0]
    best = max(real, default=0.0)
    w = best**2
    return w if -a * w + w * w / 2 + weight * best < 0 else 0.0


def half_minimum(z, h, weight):
    flat = [
        half_root(abs(a) / b, weight / b) * -np.sign(a) for a, b in zip(z.ravel(), (h + 0 * z).ravel(), strict=True)
    ]
    return np.reshape(flat, z.shape)


def rows(z, h, weight, minimum):
    """Each row of the last axis on its own."""
    flat = [minimum(a, b, weight) for a, b in zip(z.reshape(-1, z.shape[-1]), h.reshape(-1, z.shape[-1]), strict=True)]
    return np.reshape(flat, z.shape)


def group_minimum(z, h, weight):
    """|w| = r solves sum (z / (h r + weight))^2 = 1."""
    if np.linalg.norm(z) <= weight:
        return 0 * z
    low, high = 0.0, np.linalg.norm(z) / h.min()
    for _ in range(200):
        r = (low + high) / 2
        low, high = (r, high) if np.sum((z / (h * r + weight)) ** 2) > 1 else (low, r)
    return -z / (h + weight / r)


def group_half_minimum(z, h, weight):
    norm = np.linalg.norm(z)
    return 0 * z if norm == 0 else -z / norm * half_root(norm / h[0], weight / h[0])


def ftrl_half(s, p, g, t):
    """RMSprop, m as the gradient, half the incremental way, l2 t l2."""
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    z, h = history(s, p, s["m"], (np.sqrt(s["v"]) + 1e-3) / 0.05)
    return half_minimum(z, h + t * 0.1, t * 0.02)


def greedy_group(s, p, g, t):
    """AdaGrad, l1 and groups along the last axis, decoupled l2."""
    s["n"] = s.get("n", 0.1) + g * g
    h = np.sqrt(s["n"]) / 0.1
    return rows(soft(g - h * p, 0.05), 1.1 * h, 0.2, group_minimum)


def ftrl_group(s, p, g, t):
    """Online RMSprop, groups by sqrt(t), l2 fixed."""
    s["v"] = (1 - 0.5 / t) * s.get("v", 0) + 0.5 / t * g * g
    z, h = history(s, p, g, (np.sqrt(t * s["v"]) + 0.1) / 0.1)
    return rows(z, h + 0.3, np.sqrt(t) * 0.2, group_minimum)


def ftrl_group_half(s, p, g, t):
    """One h for each row: the mean of AdaGrad's."""
    s["n"] = s.get("n", 0) + g * g
    h = ((np.sqrt(s["n"]) + 1.0) / 0.1).mean(axis=-1, keepdims=True)
    z, h = history(s, p, g, h + 0 * p)
    return rows(z, h, 0.3, group_half_minimum)


def ftrl_square(s, p, g, t):
    """AMSGrad, l1 t^2, l2 times the sum of all 1 / eta with as much off sigma."""
    s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
    s["x"] = np.maximum(s.get("x", 0), s["v"])
    z, left = history(s, p, g, (np.sqrt(s["x"]) + 0.01) / 0.02, lambda terms, h: terms - 0.1 * (h - terms))
    total = 0.1 * np.sum(s["h"], axis=0)
    return -soft(z, t * t * 1e-3) / (total + left)


def ftrl_page(s, p, g, t):
    """The page `ftrl` with its two schedules: l1 lr / eta, l2 t l2; all terms kept."""
    s["n"] = s.get("n", 0.1) + g * g
    lr = 0.1 * (1 + (t - 1) % 4) / 4
    z, h = history(s, p, g, (1.0 + np.sqrt(s["n"])) / lr)
    return -soft(z, 0.05 * lr * h) / (h + t * 0.1)


def proximal_adagrad(s, p, g, t):
    """TensorFlow's ApplyProximalAdagrad, read in its kernel: FOBOS with lr / sqrt(n) (part B 3)."""
    s["n"] = s.get("n", 0.1) + g * g
    lr = 0.1 / np.sqrt(s["n"])
    moved = p - lr * g
    return np.sign(moved) * np.maximum(np.abs(moved) - lr * 0.05, 0) / (1 + 0.1 * lr)


def adagrad_da(s, p, g, t):
    """TensorFlow's ApplyAdagradDA (part B 3): sums of gradients and of squares, l1 and l2 times the count."""
    s["sum"], s["n"] = s.get("sum", 0) + g, s.get("n", 0.1) + g * g
    return -0.1 * soft(s["sum"], 0.05 * t) / (0.1 * t * 0.1 + np.sqrt(s["n"]))


def adaptive_proximal(s, p, g, t):
    """Part B 0 and 5.3: (w - eta m_hat) / (1 + eta l), eta = lr / (sqrt(v_hat) + eps) in each coordinate."""
    s["m"], s["v"] = 0.9 * s.get("m", 0) + 0.1 * g, 0.99 * s.get("v", 0) + 0.01 * g * g
    eta = wave(t - 1) / (np.sqrt(s["v"] / (1 - 0.99**t)) + 1e-4)
    return (p - eta * s["m"] / (1 - 0.9**t)) / (1 + eta * 0.3)


def wave(count):
    return 0.1 * (1 + count % 4) / 4


ADAGRAD_TF = {"l1": 0.05, "l2": 0.1}

TRANSCRIPTIONS = {
    "proximal_adagrad": (
        lambda ss: ss.mirror_descent(0.1, rule=ss.rules.adagrad(initial_accumulator=0.1), **ADAGRAD_TF),
        proximal_adagrad,
    ),
    "adagrad_da": (
        lambda ss: ss.ftrl_proximal(0.1, rule=ss.rules.adagrad(initial_accumulator=0.1), centred=True, **ADAGRAD_TF),
        adagrad_da,
    ),
    "adamw_adaptive_proximal": (
        lambda ss: ss.mirror_descent(
            wave, rule=ss.rules.adam(beta2=0.99, eps=1e-4), momentum=0.9, bias_correction=True, l2=0.3
        ),
        adaptive_proximal,
    ),
    "ftrl_half": (
        lambda ss: ss.ftrl_proximal(0.05, rule=ss.rules.rmsprop(rho=0.9, eps=1e-3), momentum=0.9, half=0.02, l2=0.1),
        ftrl_half,
    ),
    "greedy_group": (
        lambda ss: ss.mirror_descent(
            0.1,
            rule=ss.rules.adagrad(initial_accumulator=0.1),
            l1=0.05,
            l2=0.1,
            group_l2=0.2,
            l2_schedule="decoupled",
        ),
        greedy_group,
    ),
    "ftrl_group": (
        lambda ss: ss.ftrl_proximal(
            0.1,
            rule=ss.rules.online_rmsprop(gamma=0.5, eps=0.1),
            l2=0.3,
            group_l2=0.2,
            l1_schedule="sqrt",
            l2_schedule="fixed",
        ),
        ftrl_group,
    ),
    "ftrl_group_half": (
        lambda ss: ss.ftrl_proximal(0.1, rule=ss.rules.adagrad(eps=1.0), group_half=0.3, l1_schedule="fixed"),
        ftrl_group_half,
    ),
    "ftrl_square": (
        lambda ss: ss.ftrl_proximal(
            0.02,
            rule=ss.rules.amsgrad(beta2=0.9, eps=0.01),
            l1=1e-3,
            l2=0.1,
            l1_schedule="square",
            l2_schedule="sum_inv_lr",
        ),
        ftrl_square,
    ),
    "ftrl_page": (
        lambda ss: ss.ftrl(
            wave,
            beta=1.0,
            l1=0.05,
            l2=0.1,
            initial_accumulator=0.1,
            l1_schedule="adaptive",
            l2_schedule="classical",
        ),
        ftrl_page,
    ),
}
