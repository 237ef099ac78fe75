"""Each optimizer in plain NumPy, written from its card and without its page, and cut where modifiers may stand."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import samestep as ss

stages = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("stages.py"))))
Stage, COINS, LEVELS, DESCEND, REDUCED = stages.Stage, stages.COINS, stages.LEVELS, stages.DESCEND, stages.REDUCED
direction, update, recur, norm, total = stages.direction, stages.update, stages.recur, stages.norm, stages.total
LR = 0.05


@dataclass
class Row:
    """An optimizer: as it is written with samestep, and its formulas."""

    make: Callable
    stages: list
    lr: float = LR


def sqrt(x):
    return np.sqrt(x)


def mean(s, x, name, beta, u):
    """An exponential mean, from 0."""
    return recur(s, x, name, beta, (1 - beta) * u)


def both(s, x, u, beta1=0.9, beta2=0.999):
    """Adam's means, debiased."""
    m, v = mean(s, x, "m", beta1, u), mean(s, x, "v", beta2, u * u)
    return m / (1 - beta1**x.t), v / (1 - beta2**x.t)


def adam(beta1=0.9, beta2=0.999, eps=1e-8):
    def formula(s, p, g, x):
        m, v = both(s, x, g, beta1, beta2)
        return m / (sqrt(v) + eps)

    return formula


def adabelief(s, p, g, x):
    m = mean(s, x, "m", 0.9, g)
    v = s["v"] = 0.999 * s.get("v", 0.0) + 0.001 * (g - m) ** 2 + 1e-16
    return m / (1 - 0.9**x.t) / (sqrt(v / (1 - 0.999**x.t)) + 1e-16)


def adabound(s, p, g, x):
    m, v = mean(s, x, "m", 0.9, g), mean(s, x, "v", 0.999, g * g)
    rate = x.lr * sqrt(1 - 0.999**x.t) / (1 - 0.9**x.t) / (sqrt(v) + 1e-8)
    final = 0.1 * x.lr / s.setdefault("lr", x.lr)
    return np.clip(rate, final * (1 - 1 / (1e-3 * x.t + 1)), final * (1 + 1 / (1e-3 * x.t))) * m / x.lr


def adadelta(s, p, g, x):
    v = mean(s, x, "v", 0.9, g * g)
    u = sqrt(s.get("d", 0.0) + 1e-6) / sqrt(v + 1e-6) * g
    mean(s, x, "d", 0.9, u * u)
    return u


def factored(s, q, beta, names=("rows", "cols")):
    """What stands for the mean of q, of which rows and columns are remembered."""
    for axis, name in zip((1, 0), names, strict=True):
        s[name] = beta * s.get(name, 0.0) + (1 - beta) * q.mean(axis=axis, keepdims=True)
    return s[names[0]] * s[names[1]] / s[names[0]].mean()


def rms(x):
    return sqrt((x * x).mean())


def adafactor(s, c):
    rates, found = {}, {}
    for k, g in c.u.items():
        mine, beta, p = s.setdefault(k, {}), 1 - c.t**-0.8, c.start[k]
        q = g * g + 1e-30
        mine["v"] = factored(mine, q, beta) if g.ndim == 2 else beta * mine.get("v", 0.0) + (1 - beta) * q
        u = g / sqrt(mine["v"])
        rates[k] = min(c.at(k).lr, 1 / sqrt(c.t)) * max(1e-3, rms(p))
        found[k] = rates[k] * u / max(1.0, rms(u))
    c.u, c.lr = found, rates


def adagrad(s, p, g, x):
    return g / (sqrt(recur(s, x, "n", 1.0, g * g)) + 1e-10)


def adamax(s, p, g, x):
    m = mean(s, x, "m", 0.9, g)
    s["v"] = np.maximum(0.999 * s.get("v", 0.0), abs(g) + 1e-8)
    return m / (1 - 0.9**x.t) / s["v"]


def adan(s, p, g, x):
    change = g - s.get("g", g)
    s["g"] = g
    m, d = mean(s, x, "m", 0.98, g), mean(s, x, "d", 0.92, change)
    n = mean(s, x, "n", 0.99, (g + 0.92 * change) ** 2)
    return (m / (1 - 0.98**x.t) + 0.92 * d / (1 - 0.92**x.t)) / (sqrt(n / (1 - 0.99**x.t)) + 1e-8)


def adashift(keep):
    def formula(s, p, g, x):
        every = s.setdefault("every", [])
        every.append(g)
        if x.t <= keep:
            return 0.0 * g
        m = sum(0.9**i * every[-1 - i] for i in range(keep)) / sum(0.9**i for i in range(keep))
        v = mean(s, x, "v", 0.999, (every[-1 - keep] ** 2).max())
        return m / (sqrt(v / (1 - 0.999 ** (x.t - keep))) + 1e-10)

    return formula


def adax(s, p, g, x):
    rho = 1e-4 / ((1 + 1e-4) ** x.t - 1)
    return mean(s, x, "m", 0.9, g) / (sqrt(mean(s, x, "v", 1 - rho, g * g)) + 1e-12)


def ademamix(s, p, g, x):
    m, v = both(s, x, g)
    return (m + 5.0 * mean(s, x, "slow", 0.9999, g)) / (sqrt(v) + 1e-8)


def adopt(s, p, g, x):
    if x.t == 1:
        s["v"] = g * g
        return 0.0 * g
    bound = (x.t - 1) ** 0.25
    u = mean(s, x, "m", 0.9, np.clip(g / np.maximum(sqrt(s["v"]), 1e-6), -bound, bound))
    mean(s, x, "v", 0.9999, g * g)
    return u


def amos(s, p, g, x):
    eta = 0.5 if p.ndim < 2 else sqrt(2 / p.shape[1])
    g2, b = (g * g).mean(), s.get("b", 0.0)
    r = (1 - 0.999**x.t) / max(mean(s, x, "v", 0.999, g2), 2.0**-125)
    gamma = x.lr**2 * r * g2 / sqrt(1 + 0.25 * sqrt(x.lr) * b)
    s["b"] = b + gamma * (1 + b)
    return p - (gamma / 2 * p + x.lr * eta * sqrt(r) * g) / (1 + 0.25 * sqrt(x.lr * eta) * b)


def asgd(t0):
    def run(s, c):
        before = s.get("lr", c.lr)
        eta = c.lr if c.t == 1 else before / (1 + 1e-2 * before * (c.t - 1)) ** 0.75
        s["lr"], count = c.lr, c.t - 1 - t0
        c.p = {k: p * (1 - 1e-2 * eta) - eta * c.u[k] for k, p in c.p.items()}
        s["ax"] = c.p if count <= 1 else {k: a + (c.p[k] - a) / count for k, a in s["ax"].items()}

    return Stage("update", run, at=lambda s, params: s.get("ax", params))


def came(s, p, g, x):
    q = g * g + 1e-30
    v = factored(s, q, 0.999) if g.ndim == 2 else mean(s, x, "v", 0.999, q)
    u = g / sqrt(v)
    u = u / max(1.0, rms(u))
    m = mean(s, x, "m", 0.9, u)
    return m / sqrt(factored(s, (u - m) ** 2 + 1e-16, 0.9999, ("sure", "also"))) if g.ndim == 2 else m


def dadapt_adam(d0):
    def run(s, c):
        q, d = sqrt(0.999), s.setdefault("d", d0)
        dl = d * c.lr
        old = {k: (s.get(("s", k), 0.0), s.get(("v", k), 0.0)) for k in c.u}
        along = total({k: g * old[k][0] / (sqrt(old[k][1]) + 1e-8) for k, g in c.u.items()})
        s["N"] = q * s.get("N", 0.0) + (1 - q) * dl * along
        for k, g in c.u.items():
            s["s", k] = q * old[k][0] + (1 - q) * dl * g
            s["m", k] = 0.9 * s.get(("m", k), 0.0) + 0.1 * dl * g
            s["v", k] = 0.999 * old[k][1] + 0.001 * g * g
        s["d"] = max(d, s["N"] / ((1 - q) * total({k: abs(s["s", k]) for k in c.u})))
        c.u, c.lr = {k: s["m", k] / (sqrt(s["v", k]) + 1e-8) for k in c.u}, dl

    return Stage("direction", run, keeps=("d",))


def distance(s, c):
    """To where it all began."""
    first = s.setdefault("p0", c.start)
    return sqrt(total({k: (p - first[k]) ** 2 for k, p in c.start.items()}))


def dog(relative):
    def run(s, c):
        length = sqrt(total({k: p * p for k, p in c.start.items()}))
        s["r"] = max(s.get("r", relative * (1 + length)), distance(s, c))
        s["G"] = s.get("G", 0.0) + total({k: g * g for k, g in c.u.items()})
        c.u = {k: s["r"] / sqrt(s["G"] + 1e-8) * g for k, g in c.u.items()}

    return Stage("direction", run, keeps=("p0", "r"))


def dowg(first):
    def run(s, c):
        s["r2"] = max(s.get("r2", first), distance(s, c) ** 2)
        s["V"] = s.get("V", 0.0) + s["r2"] * total({k: g * g for k, g in c.u.items()})
        c.u = {k: s["r2"] / (sqrt(s["V"]) + 1e-4) * g for k, g in c.u.items()}

    return Stage("direction", run, keeps=("p0", "r2"))


def eg_gains(s, p, g, x):
    before, s["g"] = s.get("g", 0.0), g
    s["gain"] = np.clip(s.get("gain", 1.0) * np.exp(0.01 * before * g), np.exp(-10.0), np.exp(10.0))
    return s["gain"] * g


def egd_pm(s, p, g, x):
    up, down = s.get("both") or ((abs(x.start) + 1 + x.start) / 2, (abs(x.start) + 1 - x.start) / 2)
    s["both"] = up * np.exp(-x.lr * g), down * np.exp(x.lr * g)
    return s["both"][0] - s["both"][1]


def ftrl(s, p, g, x):
    before, after = sqrt(s.get("n", 0 * g)), sqrt(s.get("n", 0 * g) + g * g)
    s["z"] = s.get("z", 0.0) + g - (after / x.lr - before / s.get("lr", x.lr)) * p
    s["n"], s["lr"], s["h"], z = after**2, x.lr, after / x.lr, s["z"]
    return np.where(abs(z) <= 0.01, 0.0, -(z - np.sign(z) * 0.01) / (after / x.lr))


def ftrl_says_h(s, c):
    stages.update(ftrl).run(s, c)
    c.h = {k: s[k]["h"] for k in c.u}


def root_of_sum(s, c):
    """The rule of AdaGrad, of the gradient that enters the directions."""
    c.h = {k: sqrt(recur(s.setdefault(k, {}), c.at(k), "n", 1.0, g * g)) / c.lr for k, g in c.g.items()}


def root_of_mean(s, c):
    """The rule of RMSprop."""
    c.h = {k: (sqrt(mean(s.setdefault(k, {}), c.at(k), "v", 0.99, g * g)) + 1e-8) / c.lr for k, g in c.g.items()}


def lazy(s, p, u, x):
    """FTRL-Proximal behind a rule, with l1 t for l1."""
    s["z"] = s.get("z", 0.0) + u - (x.h - s.get("h", 0.0)) * p
    s["h"], most = x.h, 0.01 * x.t
    return np.where(abs(s["z"]) <= most, 0.0, -(s["z"] - np.sign(s["z"]) * most) / x.h)


def greedy(s, p, u, x):
    """Mirror descent behind a rule, with l1."""
    z = u - x.h * p
    return np.where(abs(z) <= 0.01, 0.0, -(z - np.sign(z) * 0.01) / x.h)


def between(s, c, tau):
    near = {k: (s.get("z", c.start)[k], s.get("snapshot", c.start)[k], p) for k, p in c.p.items()}
    return {k: tau * z + x / 2 + (0.5 - tau) * p for k, (z, x, p) in near.items()}


def katyusha(every):
    def tau(s):
        return 2 / (s.get("steps", 0) // every + 4)

    def query(s, c):
        return {"x": between(s, c, tau(s)), **stages.at_snapshot(s, c)}

    def run(s, c):
        s.setdefault("snapshot", c.start)
        old, here = s.setdefault("z", c.start), tau(s)
        x = between(s, c, here)
        s["z"] = {k: z - c.lr / (3 * here) * c.u[k] for k, z in old.items()}
        c.p = {k: x[k] + here * (s["z"][k] - z) for k, z in old.items()}
        s["epoch"], s["steps"] = [*s.get("epoch", []), c.p], s.get("steps", 0) + 1
        s["due"] = len(s["epoch"]) == every
        if s["due"]:
            s["snapshot"] = {k: sum(p[k] for p in s["epoch"]) / every for k in c.p}
            s["epoch"] = []

    return Stage("update", run, query=query, at=lambda s, params: s.get("snapshot", params), snapshot=True)


def l_katyusha(n, convexity):
    def theta(lr):
        return min(sqrt(2 * convexity * lr * n / 3), 0.5)

    def query(s, c):
        return {"x": between(s, c, theta(c.lr)), **stages.at_snapshot(s, c)}

    def run(s, c):
        s.setdefault("snapshot", c.start)
        old, here, x = s.setdefault("z", c.start), theta(c.lr), between(s, c, theta(c.lr))
        eta, sigma = 1 / (3 * here), convexity * c.lr
        s["z"] = {k: (eta * sigma * x[k] + z - eta * c.lr * c.u[k]) / (1 + eta * sigma) for k, z in old.items()}
        s["due"] = COINS[c.n]
        if s["due"]:
            s["snapshot"] = c.p
        c.p = {k: x[k] + here * (s["z"][k] - z) for k, z in old.items()}

    return Stage("update", run, query=query, snapshot=True)


def natasha(every, parts, sigma):
    def run(s, c):
        s.setdefault("snapshot", c.start)
        centre = s.setdefault("centre", c.start)
        points = s["points"] = s.get("points") or [c.p]
        c.p = {k: p - c.lr * (c.u[k] + 2 * sigma * (p - centre[k])) for k, p in c.p.items()}
        points.append(c.p)
        s["steps"] = s.get("steps", 0) + 1
        s["due"] = s["steps"] % every == 0
        if s["steps"] % (every // parts) == 0:
            c.p = s["centre"] = {k: sum(p[k] for p in points) / len(points) for k in c.p}
            s["points"] = None
        if s["due"]:
            s["snapshot"] = c.p

    at = lambda s, params: s.get("centre", params)  # noqa: E731
    return Stage("update", run, query=stages.at_snapshot, at=at, snapshot=True)


def laprop(s, p, g, x):
    q = g / (sqrt(mean(s, x, "v", 0.999, g * g) / (1 - 0.999**x.t)) + 1e-15)
    return mean(s, x, "m", 0.9, x.lr * q) / mean(s, x, "lr", 0.9, x.lr)


def lars(s, p, g, x):
    return g * (0.05 * norm(p) / norm(g) if norm(p) * norm(g) > 0 else 1.0)


def velocity(s, p, u, x):
    s["m"] = 0.9 * s.get("m", 0.0) + x.lr * u
    return p - s["m"]


def ahead(s, c):
    """Where the velocity leads."""
    return {"x": {k: p - 0.9 * s.get(k, {}).get("m", 0.0) for k, p in c.p.items()}}


def lion(beta1, beta2):
    def formula(s, p, g, x):
        before = s.get("m", 0.0)
        s["m"] = beta2 * before + (1 - beta2) * g
        return np.sign(beta1 * before + (1 - beta1) * g)

    return formula


def madgrad(s, p, g, x):
    first, weight = s.setdefault("x0", x.start), (x.lr + 1e-6) * sqrt(x.t)
    s["n"], s["s"] = s.get("n", 0.0) + weight * g * g, s.get("s", 0.0) + weight * g
    return 0.9 * p + (1 - 0.9) * (first - s["s"] / (np.cbrt(s["n"]) + 1e-6))


def mars(s, p, g, x):
    c = g + 0.025 * 0.95 / 0.05 * (g - s.get("g", g))
    s["g"] = g
    m, v = both(s, x, c / max(1.0, norm(c)), 0.95, 0.99)
    return m / (sqrt(v) + 1e-8)


def muon(s, p, g, x):
    if g.ndim < 2:
        return adam(0.9, 0.95)(s, p, g, x)
    m = mean(s, x, "m", 0.95, g)
    u = 0.95 * m + 0.05 * g
    rows, cols = u.shape
    u = u / max(norm(u), 1e-7)
    u = u.T if rows > cols else u
    for _ in range(5):
        square = u @ u.T
        u = 3.4445 * u + (-4.7750 * square + 2.0315 * square @ square) @ u
    return sqrt(max(1.0, rows / cols)) * (u.T if rows > cols else u)


def nadam(s, p, g, x):
    mu = [0.9 * (1 - 0.96 ** (n * 4e-3) / 2) for n in range(x.t + 2)]
    now, next_ = np.prod(mu[1:-1]), np.prod(mu[1:])
    m, v = mean(s, x, "m", 0.9, g), mean(s, x, "v", 0.999, g * g)
    u = (1 - mu[x.t]) / (1 - now) * g + mu[x.t + 1] / (1 - next_) * m
    return u / (sqrt(v / (1 - 0.999**x.t)) + 1e-8)


def novograd(s, p, g, x):
    square = (g * g).sum()
    s["v"] = square if x.t == 1 else 0.98 * s["v"] + 0.02 * square
    return recur(s, x, "m", 0.95, g / (sqrt(s["v"]) + 1e-8))


def online_rmsprop(s, p, g, x):
    return g / (sqrt(x.t * mean(s, x, "v", 1 - 0.9 / x.t, g * g)) + 1e-8)


def padam(s, p, g, x):
    m, v = mean(s, x, "m", 0.9, g), mean(s, x, "v", 0.999, g * g)
    s["most"] = np.maximum(s.get("most", 0.0), v)
    return sqrt(1 - 0.999**x.t) / (1 - 0.9**x.t) * m / (sqrt(s["most"]) + 1e-8) ** 0.25


def prodigy(d0):
    def run(s, c):
        d, first = s.setdefault("d", d0), s.setdefault("p0", c.start)
        beta, dl = sqrt(0.999), d * c.lr
        along = total({k: g * (first[k] - c.start[k]) for k, g in c.u.items()})
        s["N"] = beta * s.get("N", 0.0) + d / d0 * dl * along
        for k, g in c.u.items():
            s["s", k] = beta * s.get(("s", k), 0.0) + d / d0 * dl * g
            s["m", k] = 0.9 * s.get(("m", k), 0.0) + 0.1 * d * g
            s["v", k] = 0.999 * s.get(("v", k), 0.0) + 0.001 * d * d * g * g
        s["d"] = max(d, s["N"] / total({k: abs(s["s", k]) for k in c.u}))
        c.u, c.lr = {k: s["m", k] / (sqrt(s["v", k]) + s["d"] * 1e-8) for k in c.u}, dl

    return Stage("direction", run, keeps=("d", "p0"))


def rectified(t, beta2=0.999):
    """RAdam's rho and its factor."""
    limit = 2 / (1 - beta2) - 1
    rho = limit - 2 * t * beta2**t / (1 - beta2**t)
    return rho, sqrt(max((rho - 4) * (rho - 2) * limit / ((limit - 4) * (limit - 2) * rho), 0.0))


def radam(s, p, g, x):
    m, v = mean(s, x, "m", 0.9, g), mean(s, x, "v", 0.999, g * g)
    rho, r = rectified(x.t)
    return m / (1 - 0.9**x.t) * (r * sqrt(1 - 0.999**x.t) / (sqrt(v) + 1e-8) if rho > 5 else 1.0)


def rmsprop(s, p, g, x):
    return g / (sqrt(mean(s, x, "v", 0.99, g * g)) + 1e-8)


def rprop(s, p, g, x):
    agree = g * s.get("g", 0.0)
    factor = np.where(agree > 0, 1.2, np.where(agree < 0, 0.5, 1.0))
    s["e"] = np.clip(s.get("e", LR) * factor, 1e-6, 50.0)
    s["g"] = np.where(agree < 0, 0.0, g)
    return p - s["e"] * np.sign(s["g"])


def strongly_convex(s, p, g, x, n):
    return g / (n + 0.1 * np.exp(-0.1 * n))


def sc_adagrad(s, p, g, x):
    return strongly_convex(s, p, g, x, recur(s, x, "n", 1.0, g * g))


def sc_rmsprop(s, p, g, x):
    return strongly_convex(s, p, g, x, x.t * mean(s, x, "v", 1 - 0.9 / x.t, g * g))


def schedule_free(step):
    """z, and x out of p and z; step(s, g, x) -> direction, step size."""

    def formula(s, p, g, x):
        d, rate = step(s, g, x)
        s["rate"] = max(s.get("rate", 0.0), rate)
        s["sum"], z = s.get("sum", 0.0) + s["rate"] ** 2, s.setdefault("z", x.start)
        c = s["rate"] ** 2 / s["sum"] if s["sum"] else 0.0
        mean, s["z"] = (p - (1 - 0.9) * z) / 0.9, z - rate * d
        return 0.9 * ((1 - c) * mean + c * s["z"]) + (1 - 0.9) * s["z"]

    def at(s, params):
        z = {k: s.get(k, {}).get("z", p) for k, p in params.items()}
        return {k: (p - (1 - 0.9) * z[k]) / 0.9 for k, p in params.items()}

    return update(formula, at=at)


def free_adam(s, g, x):
    v = mean(s, SimpleNamespace(cycle=None), "v", 0.999, g * g)
    return g / (sqrt(v / (1 - 0.999**x.t)) + 1e-8), x.lr


def free_radam(s, g, x):
    (rho, r), (d, lr) = rectified(x.t), free_adam(s, g, x)
    return (d, lr * r) if rho > 4 else (g, 0.0)


def free_plus(s, c):
    """z, and x out of p and z; the step size is Polyak's, of all leaves."""
    z = {k: s.setdefault(k, {}).setdefault("z", start) for k, start in c.start.items()}
    away = total({k: u * (z[k] - c.p[k]) for k, u in c.u.items()})
    sums = total({k: abs(u) for k, u in c.u.items()})
    rate = c.lr * max(LEVELS[c.n] + away, 0.0) / (sqrt(np.pi / 2) * sums) if sums else 0.0
    s["rate"] = max(s.get("rate", 0.0), rate)
    s["sum"] = s.get("sum", 0.0) + s["rate"] ** 2
    part, new = (s["rate"] ** 2 / s["sum"] if s["sum"] else 0.0), {}
    for k, u in c.u.items():
        m, v = both(s[k], c.at(k), u, beta2=0.95)
        x = (c.p[k] - (1 - 0.9) * z[k]) / 0.9
        s[k]["z"] = z[k] - rate * m / (sqrt(v) + 1e-8)
        new[k] = 0.9 * ((1 - part) * x + part * s[k]["z"]) + (1 - 0.9) * s[k]["z"]
    c.p = new


def free_plus_at(s, params):
    return {k: (p - (1 - 0.9) * s.get(k, {}).get("z", p)) / 0.9 for k, p in params.items()}


def heavy_ball(s, p, u, x):
    return recur(s, x, "m", 0.9, u)


def shampoo(s, p, g, x):
    k, u = g.ndim, g
    for axis in range(k):
        flat = np.moveaxis(g, axis, 0).reshape(g.shape[axis], -1)
        h = s["h", axis] = s.get(("h", axis), 1e-2 * np.eye(len(flat))) + flat @ flat.T
        values, vectors = np.linalg.eigh(h)
        root = vectors * values ** (-1 / (2 * k)) @ vectors.T
        u = np.moveaxis(np.tensordot(root, u, (1, axis)), 0, axis)
    return u


def signum(beta):
    return lambda s, p, g, x: np.sign(mean(s, x, "m", beta, g))


def simplified_ademamix(s, p, g, x):
    m = recur(s, x, "m", 0.99, g)
    return (m + 2.0 * g) / (sqrt(mean(s, x, "v", 0.95, g * g) / (1 - 0.95**x.t)) + 1e-8)


def sm3(s, p, g, x):
    least = s.get("rows", 0.0) if g.ndim < 2 else np.minimum(s.get("rows", 0.0), s.get("cols", 0.0))
    a = least + g * g
    s["rows"] = a if g.ndim < 2 else a.max(axis=1, keepdims=True)
    s["cols"] = a if g.ndim < 2 else a.max(axis=0, keepdims=True)
    return g / sqrt(a + 1e-30)


def soap(every):
    def formula(s, p, g, x):
        square = g.ndim == 2
        if x.t > 1:
            left, right = s.get("basis", (None, None))
            m, turned = mean(s, x, "m", 0.95, g), left.T @ g @ right if square else g
            v = mean(s, x, "v", 0.95, turned**2)
            k = x.t - 1
            u = (left.T @ m @ right if square else m) / (sqrt(v) + 1e-3) * sqrt(1 - 0.95**k) / (1 - 0.95**k)
            u = left @ u @ right.T if square else u
        else:
            u = 0.0 * g
        if square:
            sides = mean(s, x, "left", 0.95, g @ g.T), mean(s, x, "right", 0.95, g.T @ g)
            if x.t == 1:
                s["basis"] = [np.linalg.eigh(side)[1][:, ::-1] for side in sides]
            elif k % every == 0:
                for axis, (side, basis) in enumerate(zip(sides, s["basis"], strict=True)):
                    order = np.argsort(-np.einsum("ij,ij->j", basis, side @ basis))
                    s["v"] = np.take(s["v"], order, axis=axis)
                    s["basis"][axis] = np.linalg.qr(side @ basis[:, order])[0]
        return u

    return formula


def yogi(s, p, g, x):
    m = s["m"] = 0.9 * s.get("m", 1e-6) + 0.1 * g
    v = s.get("v", 1e-6 + 0 * g)
    s["v"] = v - 0.001 * np.sign(v - g * g) * g * g
    return m / (1 - 0.9**x.t) / (sqrt(s["v"] / (1 - 0.999**x.t)) + 1e-3)


TAKEN = update(lambda s, p, u, x: p - u)  # the step size is in the direction already
LATE = update(lambda s, p, u, x: p * (1 - (x.lr * 0.01 if x.t > 1 else 0.0)))


def moved(formula, lr=LR, **numbers):
    """A direction, and descent along it."""
    return lambda make: Row(lambda: make(lr, **numbers), [direction(formula), DESCEND], lr)


ROWS = {
    **{
        name: row(getattr(ss, name))
        for name, row in {
            "adabelief": moved(adabelief),
            "adabound": moved(adabound),
            "adadelta": moved(adadelta, lr=1.0),
            "adagrad": moved(adagrad),
            "adam": moved(adam()),
            "adamax": moved(adamax),
            "adan": moved(adan),
            "adashift": moved(adashift(3), keep=3),
            "ademamix": moved(ademamix),
            "adopt": moved(adopt),
            "came": moved(came),
            "eg_gains": moved(eg_gains),
            "laprop": moved(laprop),
            "lion": moved(lion(0.9, 0.99)),
            "mars": moved(mars),
            "muon": moved(muon),
            "nadam": moved(nadam),
            "novograd": moved(novograd),
            "online_rmsprop": moved(online_rmsprop),
            "padam": moved(padam),
            "radam": moved(radam),
            "rmsprop": moved(rmsprop),
            "sc_adagrad": moved(sc_adagrad),
            "sc_rmsprop": moved(sc_rmsprop),
            "shampoo": moved(shampoo, eps=1e-2),
            "signum": moved(signum(0.9)),
            "simplified_ademamix": moved(simplified_ademamix, lr=0.01, alpha=2.0),
            "tiger": moved(signum(0.965)),
            "yogi": moved(yogi),
        }.items()
    },
    "agd_velocity": Row(lambda: ss.chain(ss.agd_velocity(LR)), [update(velocity, query=ahead)]),
    "adafactor": Row(lambda: ss.adafactor(LR), [Stage("direction", adafactor), TAKEN]),
    "adamw": Row(lambda: ss.adamw(LR), [direction(adam()), stages.shrink(lambda lr: 1 - lr * 0.01), DESCEND]),
    "adax": Row(lambda: ss.adax(LR), [stages.gradient(lambda s, p, g, x: g + 5e-4 * p), direction(adax), DESCEND]),
    "adaxw": Row(lambda: ss.adaxw(LR), [direction(adax), stages.shrink(lambda lr: 1 - lr * 0.05), DESCEND]),
    "amos": Row(lambda: ss.amos(LR), [update(amos)]),
    "asgd": Row(lambda: ss.asgd(LR, lambd=1e-2, t0=3.0), [asgd(3)]),
    "c_adamw": Row(lambda: ss.c_adamw(LR), [direction(adam(eps=1e-6)), stages.cautious("mean"), DESCEND]),
    "c_lion": Row(lambda: ss.c_lion(LR), [direction(lion(0.95, 0.98)), stages.cautious("count"), DESCEND]),
    "dadapt_adam": Row(lambda: ss.dadapt_adam(d0=0.01), [dadapt_adam(0.01), TAKEN], 1.0),
    "dog": Row(lambda: ss.dog(reps_rel=0.1), [dog(0.1), DESCEND], 1.0),
    "dowg": Row(lambda: ss.dowg(first=0.1), [dowg(0.1), DESCEND], 1.0),
    "egd": Row(lambda: ss.egd(0.005), [update(lambda s, p, g, x: p * np.exp(-x.lr * g))], 0.005),
    "egd_pm": Row(lambda: ss.egd_pm(0.005), [update(egd_pm)], 0.005),
    "ftrl": Row(lambda: ss.ftrl(LR, l1=0.01), [Stage("update", ftrl_says_h)]),
    "ftrl_proximal": Row(
        lambda: ss.ftrl_proximal(LR, rule="adagrad", l1=0.01), [Stage("direction", root_of_sum), update(lazy)]
    ),
    "katyusha": Row(lambda: ss.katyusha(LR, every=5), [REDUCED, katyusha(5)]),
    "l_katyusha": Row(lambda: ss.l_katyusha(LR, n=5, convexity=0.5), [REDUCED, l_katyusha(5, 0.5)]),
    "l_svrg": Row(lambda: ss.l_svrg(LR), [REDUCED, stages.snapshot(lambda c: COINS[c.n]), DESCEND]),
    "lamb": Row(lambda: ss.lamb(LR), [direction(adam(eps=1e-6)), direction(stages.ratio), DESCEND]),
    "lars": Row(lambda: ss.lars(1.0, trust_coefficient=0.05), [direction(lars), update(velocity)], 1.0),
    "madgrad": Row(lambda: ss.madgrad(LR), [update(madgrad)]),
    "mirror_descent": Row(
        lambda: ss.mirror_descent(LR, rule="rmsprop", l1=0.01), [Stage("direction", root_of_mean), update(greedy)]
    ),
    "natasha": Row(lambda: ss.natasha(LR, sigma=0.5, every=6, parts=3), [REDUCED, natasha(6, 3, 0.5)]),
    "prodigy": Row(lambda: ss.prodigy(d0=0.01), [prodigy(0.01), DESCEND], 1.0),
    "rprop": Row(lambda: ss.rprop(LR), [update(rprop)]),
    "schedule_free_adamw": Row(lambda: ss.schedule_free_adamw(LR), [schedule_free(free_adam)]),
    "schedule_free_plus": Row(lambda: ss.schedule_free_plus(LR), [Stage("update", free_plus, at=free_plus_at)]),
    "schedule_free_radam": Row(lambda: ss.schedule_free_radam(LR), [schedule_free(free_radam)]),
    "schedule_free_sgd": Row(lambda: ss.schedule_free_sgd(LR), [schedule_free(lambda s, g, x: (g, x.lr))]),
    "sgd": Row(lambda: ss.sgd(LR), [DESCEND]),
    "sgdw": Row(lambda: ss.sgdw(LR), [direction(heavy_ball), stages.shrink(lambda lr: 1 - lr * 0.01), DESCEND]),
    "sm3": Row(lambda: ss.sm3(LR), [direction(sm3), direction(lambda s, p, u, x: mean(s, x, "m", 0.9, u)), DESCEND]),
    "soap": Row(lambda: ss.soap(LR, freq=4, eps=1e-3), [direction(soap(4)), DESCEND, LATE]),
    "svrg": Row(
        lambda: ss.svrg(LR, every=6),
        [REDUCED, DESCEND, stages.snapshot(lambda c: c.t % 6 == 0, at=lambda s, params: s.get("snapshot", params))],
    ),
}

# what modifiers meet each other around: AdamW, with a rule beside it that says h to those that read it
AROUND = Row(
    lambda: ss.chain(ss.adamw(LR), ss.rules.rmsprop(LR, name="rule")),
    [*ROWS["adamw"].stages, Stage("direction", root_of_mean)],
)
