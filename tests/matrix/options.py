"""What the modifiers have as options: for each a row of its own, in plain NumPy from its card, as the modifiers are.

`FEW` are the optimizers that they meet: a momentum, Adam with decay, a sign, an update that owns its step, and one
whose step size is in its direction. What a modifier refuses, its options do too.
"""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import samestep as ss

modifiers = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("modifiers.py"))))
before, behind, stages, noise = modifiers.before, modifiers.behind, modifiers.stages, modifiers.noise
Stage, STEPS, COINS, norm = modifiers.Stage, modifiers.STEPS, modifiers.COINS, modifiers.norm
gradient, direction, update, LEVELS = stages.gradient, stages.direction, stages.update, modifiers.LEVELS
FEW = ("sgdw", "adamw", "lion", "ftrl", "adafactor")


# -- of the gradient -------------------------------------------------------
def unit(x, axis):
    """The norms of the units along an axis, or of the whole leaf."""
    return np.sqrt(
        (x * x).sum(axis=tuple({*range(x.ndim)} - {axis % x.ndim}) if x.ndim > 1 else None, keepdims=x.ndim > 1)
    )


def adaptive_clip(s, p, g, x):
    most, length = 0.1 * np.maximum(unit(p, -1), 0.8), unit(g, -1)
    return np.where(length > most, g * most / np.maximum(length, 1e-6), g)


def global_norm(c):
    return np.sqrt(sum((u * u).sum() for u in c.u.values()))


def clip_as_torch(eps):
    """min(1, c / (n + eps)), which also scales just below c."""

    def run(s, c):
        c.u = {k: u * min(1.0, 1.0 / (global_norm(c) + eps)) for k, u in c.u.items()}

    return Stage("gradient", run)


def clip_to_zero(s, c):
    n = global_norm(c)
    c.u = {k: u * (1.0 / n if n > 1.0 else 1.0) if np.isfinite(n) else 0 * c.p[k] for k, u in c.u.items()}


def grokfast(s, p, g, x):
    s["h"] = g if x.t == 1 else 0.5 * s["h"] + 0.5 * g
    return g + 1.5 * s["h"]


def nesterov_estimate(s, p, g, x):
    last, s["g"] = s.get("g", g), g
    return g + 0.9 * (g - last)


def add_noise(s, p, g, x):
    drawn = noise.normal(2**40 + 7, x.t - 1, f"{x.k}\0add_noise".encode(), g.size).reshape(g.shape)
    return g + np.sqrt(0.25 / x.t) * drawn


# -- which steps are taken -------------------------------------------------
def accumulate(s, c):
    s["sum"] = {k: u + s["sum"][k] for k, u in c.u.items()} if s.get("sum") else c.u
    full, c.t = c.t % 3 == 0, -(-c.t // 3)
    c.u = s.pop("sum") if full else c.u
    return full


def gives_up(most):
    """The step behind so many bad ones in a row is taken, whatever is in it."""

    def run(s, c):
        s["bad"] = 0 if modifiers.finite(c) else s.get("bad", 0) + 1
        taken = not 0 < s["bad"] <= most
        c.t = s["good"] = s.get("good", 0) + taken
        return taken

    return Stage("gradient", run)


DRAWN = [{k: np.random.default_rng([n, ord(k)]).laplace(size=6) for k in "wb"} for n in range(STEPS + 1)]
FOUND = [float(n in (2, 3, 11)) for n in range(STEPS + 1)]


def unscale(s, c):
    c.u = {k: u / 4 for k, u in c.u.items()}
    c.t = s["good"] = s.get("good", 0) + (not FOUND[c.n])
    return not FOUND[c.n]


def loss_scaling(s, c):
    scale, good = s.setdefault("scale", 8.0), modifiers.finite(c)
    s["streak"] = s.get("streak", 0) + 1 if good else 0
    s["scale"] = scale if good else scale / 4
    if s["streak"] == 2:
        s["scale"], s["streak"] = 8 * scale, 0
    c.u = {k: u / scale for k, u in c.u.items()}
    c.t = s["good"] = s.get("good", 0) + good
    return good


def plateau(metric, better, patience, cooldown=0, least=0.0):
    """The card's, line by line, with factor 0.5."""

    def run(s, c):
        x = metric[c.n]
        if "best" not in s or better(x, s["best"]):
            s["best"], s["bad"] = x, 0
        else:
            s["bad"] += 1
        if s.get("cool", 0) > 0:
            s["cool"], s["bad"] = s["cool"] - 1, 0
        if s["bad"] > patience:
            smaller = max(s.get("scale", 1.0) * 0.5, least)
            s["scale"] = smaller if s.get("scale", 1.0) - smaller > 1e-8 else s.get("scale", 1.0)
            s["cool"], s["bad"] = cooldown, 0
        c.lr *= s.get("scale", 1.0)

    return Stage("gradient", run)


RISES = [2 - x for x in LEVELS]


# -- of the direction ------------------------------------------------------
def cautious(kept, scale, floor=1e-3):
    """kept(u g) is the mask."""

    def masked(s, p, u, x):
        mask = kept(u * x.g)
        factor = {"mean": 1 / max(mask.mean(), floor), "count": mask.size / (mask.sum() + 1), "none": 1.0}[scale]
        return u * mask * factor

    return direction(masked)


def agree(x):
    return (x > 0) * 1.0


def bent(x):
    """A mask that is no 0 and 1: phi, for our side and for NumPy's."""
    xp = ss.array_namespace(x)
    return xp.where(x > 0, 1.0, 0.0) + 0.25


def lengths(s, p, u, x):
    a, b = max(norm(p), 1.5), max(norm(u), 1.5)
    return u * 0.5 * a / (b + 0.1)


def held(s, p, u, x):
    """By 1 at most, with the norm of p between 0.2 and 0.7."""
    a, b = np.clip(norm(p), 0.2, 0.7), norm(u)
    return u * min(a / b if b > 0 else 1.0, 1.0)


def agd(s, c):
    c.u = s["m"] = {k: 0.5 * s["m"][k] + u if "m" in s else u for k, u in c.u.items()}


def ahead(s, c):
    return {"x": {k: p - c.lr * 0.5 * s["m"][k] for k, p in c.p.items()} if "m" in s else c.p}


# -- of the params ---------------------------------------------------------
def amos_schedule(s, p, u, x):
    falls = 1 / (x.lr * 0.3 * x.t + 1) ** 2
    step = x.lr * falls * np.sqrt(p.size) * 0.5 / norm(u) if u.any() else 0.0
    return p - step * u - x.lr**2 * falls / 2 * p


def lookahead(begin, late=False):
    """Every 4 steps from `begin` on; late: the slow params are the fast ones until then, and there."""

    def run(s, c):
        last = s.setdefault("slow", c.start)
        if late and c.t <= begin:
            s["slow"] = c.p
        elif c.t >= begin and (c.t - begin) % 4 == 0:
            c.p = s["slow"] = {k: x + 0.3 * (c.p[k] - x) for k, x in last.items()}

    return Stage("update", run, shows={"outer.slow": "slow"}, **modifiers.SLOW)


def averaged(kappa):
    """e <- e + kappa(n) (p - e), and e = p in the first step."""

    def run(s, c):
        n = s["n"] = s.get("n", 0) + 1
        e, k = s.get("mean", c.p), 1.0 if n == 1 else kappa(n)
        s["mean"] = {leaf: e[leaf] + k * (p - e[leaf]) for leaf, p in c.p.items()}

    return Stage("update", run, keeps=("n", "mean"), shows={"ema.average": "mean"}, at=modifiers.of("mean"))


def to_the_mean(s, c):
    """Every fifth step the params and the snapshot go to the mean of the params after each."""
    s.setdefault("snapshot", c.start)
    s["epoch"] = [*s.get("epoch", []), c.p]
    s["due"] = c.t % 5 == 0
    if s["due"]:
        c.p = s["snapshot"] = {k: sum(p[k] for p in s["epoch"]) / 5 for k in c.p}
        s["epoch"] = []


def stochastic_rounding(s, c):
    if c.halves:
        c.p = {k: modifiers.rounded(p, modifiers.bits(k, c.n, p.shape, 5)) for k, p in c.p.items()}


AGD = Stage("direction", agd, query=ahead, shows={"ahead.m": "m"}, keeps=("m",))  # its m hangs on no clock

ROWS = {
    "accumulate, sum": before(lambda: [ss.accumulate(3, mean=False)], Stage("gradient", accumulate)),
    "adaptive_clip, last axis": before(
        lambda: [ss.adaptive_clip(0.1, min_unit_norm=0.8, unit_axis=-1)], gradient(adaptive_clip)
    ),
    "add_noise, another": before(lambda: [ss.add_noise(0.25, annealing=1.0, seed=2**40 + 7)], gradient(add_noise)),
    "add_noise, the caller's": before(
        lambda: [ss.add_noise(0.25, seed=None)],
        gradient(lambda s, p, g, x: g + np.sqrt(0.25 / x.t**0.55) * DRAWN[x.n][x.k][: g.size].reshape(g.shape)),
        noise=lambda n, params: {k: DRAWN[n][k][: p.size].reshape(p.shape) for k, p in params.items()},
    ),
    "centralize, last axis": before(
        lambda: [ss.centralize(unit_axis=-1)],
        gradient(lambda s, p, g, x: g - g.mean(axis=0, keepdims=True) if g.ndim > 1 else g),
    ),
    "clip_by_global_norm, clip_eps": before(lambda: [ss.clip_by_global_norm(1.0, clip_eps=0.25)], clip_as_torch(0.25)),
    "clip_by_global_norm, scaled": before(lambda: [ss.clip_by_global_norm(1.0, scale="max")], clip_as_torch(0.0)),
    "clip_by_global_norm, zero": before(
        lambda: [ss.clip_by_global_norm(1.0, nonfinite="zero")], Stage("gradient", clip_to_zero), bad=True
    ),
    **{
        f"clip_by_global_norm, {form}": before(  # of which something is nan, and seen
            lambda form=form: [ss.clip_by_global_norm(1.0, nonfinite=form), ss.skip_nonfinite(None)],
            Stage("gradient", modifiers.clip_by_global_norm),
            Stage("gradient", modifiers.skip_nonfinite),
            bad=True,
        )
        for form in ("nan", "torch")
    },
    "grokfast, faster": before(lambda: [ss.grokfast(0.5, 1.5, name="slow")], gradient(grokfast)),
    "loss_scaling, faster": before(
        lambda: [ss.loss_scaling(8.0, growth_factor=8.0, backoff_factor=0.25, growth_interval=2, name="amp")],
        Stage("gradient", loss_scaling),
        bad=True,
    ),
    "nesterov_estimate, grad": before(lambda: [ss.nesterov_estimate(0.9, first="grad")], gradient(nesterov_estimate)),
    "reduce_on_plateau, up": before(
        lambda: [
            ss.reduce_on_plateau(
                factor=0.5, patience=1, mode="max", threshold=0.3, cooldown=2, min_scale=0.2, name="plateau"
            )
        ],
        plateau(RISES, lambda x, best: x > best * 1.3, 1, cooldown=2, least=0.2),
        metric=RISES,
    ),
    "reduce_on_plateau, inclusive": before(
        lambda: [
            ss.reduce_on_plateau(
                factor=0.5, patience=2, patience_inclusive=True, threshold=1.2, threshold_mode="abs", name="plateau"
            )
        ],
        plateau(LEVELS, lambda x, best: x < best - 1.2, 1),
        metric=LEVELS,
    ),
    "skip_nonfinite, gives up": before(
        lambda: [ss.skip_nonfinite(1), ss.clip_by_global_norm(1.0, nonfinite="zero")],
        gives_up(1),
        Stage("gradient", clip_to_zero),
        bad=True,
    ),
    "unscale, found": before(
        lambda: [ss.unscale()], Stage("gradient", unscale), grad_scale=[4.0] * (STEPS + 1), found_inf=FOUND
    ),
    "agd, restarted": behind(
        lambda: [ss.warm_restart(5, reset=("m",)), ss.agd(momentum=0.5, name="ahead")],
        modifiers.again(5, warm=True),
        AGD,
    ),
    "agd, slower": behind(lambda: [ss.agd(momentum=0.5, name="ahead")], AGD),
    "cautious, count": behind(lambda: [ss.cautious("count", name="mask")], cautious(agree, "count")),
    "cautious, none": behind(lambda: [ss.cautious("none", name="mask")], cautious(agree, "none")),
    "cautious, floor": behind(lambda: [ss.cautious(floor=0.75, name="mask")], cautious(agree, "mean", 0.75)),
    "cautious, phi": behind(lambda: [ss.cautious("count", phi=bent, name="mask")], cautious(bent, "count")),
    "cautious, factor": behind(
        lambda: [ss.cautious(cautious_factor=0.3, name="mask")],
        cautious(lambda x: np.where(x > 0, 1.0, 0.3), "mean"),
    ),
    "trust_ratio, numbers": behind(
        lambda: [ss.trust_ratio(0.5, min_norm=1.5, norm_eps=0.1, name="ratio")], direction(lengths)
    ),
    "trust_ratio, held": behind(lambda: [ss.trust_ratio(phi=(0.2, 0.7), clip=True, name="ratio")], direction(held)),
    "amos_schedule, fixed rate": behind(
        lambda: [ss.amos_schedule(eta=0.5, speed=0.3, form="fixed_rate", name="fall")],
        update(amos_schedule, replaces="descend"),
    ),
    "lookahead, late": behind(lambda: [ss.lookahead(4, 0.3, start="late", name="outer")], lookahead(4, late=True)),
    "lookahead, first": behind(lambda: [ss.lookahead(4, 0.3, first=2, name="outer")], lookahead(2)),
    "lookahead, late and first": behind(
        lambda: [ss.lookahead(4, 0.3, start="late", first=1, name="outer")], lookahead(1, late=True)
    ),
    "ema, biased": behind(lambda: [ss.ema(0.9, debias=False, name="ema")], averaged(lambda n: 0.1)),
    "ema, polynomial": behind(
        lambda: [ss.ema(kind="polynomial", gamma=3.0, name="ema")], averaged(lambda n: 4 / (n + 3))
    ),
    "ema, warmup": behind(
        lambda: [ss.ema(0.8, kind="warmup", gamma=2.0, power=0.75, least=0.4, name="ema")],
        averaged(lambda n: 1 - np.clip(1 - (1 + (n - 1) / 2) ** -0.75, 0.4, 0.8)),
    ),
    "snapshot_every, average": behind(
        lambda: [ss.variance_reduced(name="vr"), ss.snapshot_every(every=5, iterate="average", name="vr")],
        stages.REDUCED,
        Stage("update", to_the_mean, query=stages.at_snapshot, at=modifiers.of("snapshot"), snapshot=True),
    ),
    "stochastic_rounding, a seed": behind(
        lambda: [ss.stochastic_rounding(seed=5)], Stage("update", stochastic_rounding)
    ),
}
SAME = (  # numbers that do not overflow, and more parts
    *("clip_by_global_norm, scaled", "clip_by_global_norm, nan", "clip_by_global_norm, torch"),
)
RECOMMENDED = (
    *("skip_nonfinite", "accumulate", "grokfast", "flooding", "clip_by_global_norm", "centralize", "add_noise"),
    *("nesterov_estimate", "sign", "trust_ratio", "cautious", "decay, cautious", "lookahead", "ema", "swa"),
)
