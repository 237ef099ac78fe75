"""Each modifier in plain NumPy, written from its card and without its page."""

import runpy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from zlib import crc32

import numpy as np

import samestep as ss

HERE = Path(__file__).parent
stages = SimpleNamespace(**runpy.run_path(str(HERE / "stages.py")))
noise = SimpleNamespace(**runpy.run_path(str(HERE.parent / "transcriptions" / "gradients.py")))
Stage, STEPS, COINS, LEVELS, norm = stages.Stage, stages.STEPS, stages.COINS, stages.LEVELS, stages.norm


@dataclass
class Row:
    """A modifier: as it is written with samestep, its formulas, and what `step` takes for it in each call."""

    make: Callable
    stages: list
    given: dict = field(default_factory=dict)
    behind: bool = False  # written behind the optimizer
    bad: bool = False  # it is shown gradients that are not finite


def before(make, *formulas, bad=False, **given):
    return Row(make, list(formulas), given, bad=bad)


def behind(make, *formulas, **given):
    return Row(make, list(formulas), given, behind=True)


# -- of the gradient -------------------------------------------------------
def unit(x):
    return np.sqrt((x * x).sum(axis=tuple(range(1, x.ndim)) if x.ndim > 1 else None, keepdims=x.ndim > 1))


def adaptive_clip(s, p, g, x):
    most, length = 0.1 * np.maximum(unit(p), 1e-3), unit(g)
    return np.where(length > most, g * most / np.maximum(length, 1e-6), g)


def clip_by_global_norm(s, c):
    length = np.sqrt(sum((u * u).sum() for u in c.u.values()))
    c.u = {k: u * (1.0 / length if length > 1.0 else 1.0) for k, u in c.u.items()}


def grokfast(s, p, g, x):
    s["h"] = g if x.t == 1 else 0.98 * s["h"] + 0.02 * g
    return g + 2.0 * s["h"]


def nesterov_estimate(s, p, g, x):
    last, s["g"] = s.get("g", 0.0), g
    return g + 0.9 * (g - last)


def flooding(s, c):
    c.u = {k: u * np.sign(LEVELS[c.n] - 1.0) for k, u in c.u.items()}


def add_noise(s, p, g, x):
    return g + np.sqrt(0.01 / x.t**0.55) * normal(x.k, x.t, g.shape)


@cache
def normal(leaf, t, shape):
    return noise.normal(0, t - 1, f"{leaf}\0add_noise".encode(), int(np.prod(shape))).reshape(shape)


# -- which steps are taken, and when all starts again ----------------------
def finite(c):
    return all(np.isfinite(u).all() for u in c.u.values())


def accumulate(s, c):
    s["sum"] = {k: u + s["sum"][k] for k, u in c.u.items()} if s.get("sum") else c.u
    full, c.t = c.t % 3 == 0, -(-c.t // 3)
    if full:
        c.u = {k: u / 3 for k, u in s.pop("sum").items()}
    return full


def skip_nonfinite(s, c):
    c.t = s["good"] = s.get("good", 0) + finite(c)
    return finite(c)


def unscale(s, c):
    c.u = {k: u / 4 for k, u in c.u.items()}
    c.t = s["good"] = s.get("good", 0) + 1


def loss_scaling(s, c):
    scale, good = s.setdefault("scale", 8.0), finite(c)
    s["streak"] = s.get("streak", 0) + 1 if good else 0
    s["scale"] = scale if good else scale / 2
    if s["streak"] == 4:
        s["scale"], s["streak"] = 2 * scale, 0
    c.u = {k: u / scale for k, u in c.u.items()}
    c.t = s["good"] = s.get("good", 0) + good
    return good


def reduce_on_plateau(s, c):
    """Torch's, with factor 0.5 and patience 1; a metric is better below 0.9999 of the best."""
    better = LEVELS[c.n] < s.get("best", np.inf) * (1 - 1e-4)
    s["best"], s["stale"] = (LEVELS[c.n], 0) if better else (s["best"], s["stale"] + 1)
    if s["stale"] > 1:
        s["scale"], s["stale"] = s.get("scale", 1.0) / 2, 0
    c.lr *= s.get("scale", 1.0)


def again(every, warm):
    """Start again what stands behind it, after every so many calls."""

    def run(s, c):
        c.t = (c.t - 1) % every + 1
        if c.t == every and c.moves:
            c.again.append((c.place, warm))

    return Stage("gradient", run)


def hidden_accumulation(s, c):
    c.moves, c.cycle, c.t = c.t % 3 == 0, (c.t % 3 == 1, 3), -(-c.t // 3)


def fewer_updates(s, c):
    c.moves, c.outer = c.t % 3 == 0, -(-c.t // 3)


# -- of the direction ------------------------------------------------------
def agd(s, c):
    c.u = s["m"] = {k: 0.9 * s["m"][k] + u if "m" in s else u for k, u in c.u.items()}


def ahead(s, c):
    return {"x": {k: p - c.lr * 0.9 * s["m"][k] for k, p in c.p.items()} if "m" in s else c.p}


def monitor_sigma(s, c):
    h = {k: np.broadcast_to(c.at(k).h, u.shape) for k, u in c.u.items()}
    last, s["h"] = s.get("h", dict.fromkeys(h, 0.0)), h
    s["falls"] = {k: (x < last[k]).mean() for k, x in h.items()}


# -- of the params ---------------------------------------------------------
def amos_schedule(s, p, u, x):
    falls = 1 / (2 * x.lr * 0.3 * x.t + 1)
    step = x.lr * falls * np.sqrt(p.size) * 0.5 / norm(u) if u.any() else 0.0
    return p - step * u - x.lr**2 * falls / (2 * 0.5) * p


def slow(s, c):
    last = s.setdefault("slow", c.start)
    if c.t % 4 == 0:
        c.p = s["slow"] = {k: x + 0.3 * (c.p[k] - x) for k, x in last.items()}


def pullback(s, c):
    """Slow, and with it the m that a formula before it has written, from 0."""
    slow(s, c)
    if c.t % 4 == 0:
        for k in c.p:
            places = [place for x in c.memories[: c.place] for place in ((x, ("m", k)), (x.get(k) or {}, "m"))]
            memory, key = [(x, key) for x, key in places if key in x][-1]
            last = s.get(("m", k), 0.0)
            memory[key] = s["m", k] = last + 0.3 * (memory[key] - last)


def snapshot_at_random(s, c):
    """Every fifth step goes back to where the last one began whose coin said so."""
    s.setdefault("snapshot", c.start)
    s["chosen"] = c.start if COINS[c.n] else s.get("chosen", c.start)
    s["due"] = c.t % 5 == 0
    if s["due"]:
        c.p = s["snapshot"] = s["chosen"]


def ema(s, c):
    """The weighted mean itself, of all so far: weights 0.9^(n - i)."""
    s["n"] = 0.9 * s.get("n", 0.0) + 1
    s["sum"] = {k: 0.9 * s["sum"][k] + p if "sum" in s else p for k, p in c.p.items()}
    s["mean"] = {k: x / s["n"] for k, x in s["sum"].items()}


def swa(s, c):
    """The mean itself of steps 3, 5, 7, ...; until then the params."""
    s["n"] = s.get("n", 0) + 1
    if s["n"] >= 3 and s["n"] % 2 == 1:
        s.setdefault("all", []).append(c.p)
    found = s.get("all", [c.p])
    s["mean"] = {k: sum(p[k] for p in found) / len(found) for k in c.p}


def kahan(s, c):
    lost, new = s.get("c", dict.fromkeys(c.p, 0.0)), {}
    for k, p in c.p.items():
        low = c.round(lost[k] - c.at(k).lr * c.u[k])
        new[k] = c.round(p + low)
        lost[k] = c.round(low + c.round(p - new[k]))
    c.p, s["c"] = new, lost


def master_weights(s, c):
    """The reference starts from s["master"] where it is."""


def stochastic_rounding(s, c):
    if c.halves:
        c.p = {k: rounded(p, bits(k, c.n, p.shape)) for k, p in c.p.items()}


def rounded(p, random):
    near = p.astype(np.float16)
    low = np.where(abs(near.astype(p.dtype)) > abs(p), np.nextafter(near, np.float16(0)), near)
    high = np.nextafter(low, np.copysign(np.float16(np.inf), low)).astype(np.float64)
    share = np.floor((p - low.astype(np.float64)) / (high - low) * 65536)
    return np.where(share + random >= 65536, high, low).astype(p.dtype)


@cache
def bits(leaf, n, shape, seed=0):
    key = 0
    for word in (seed, 0, n - 1, 0, crc32(leaf.encode())):
        key = noise.fold(key, word)
    k0, k1 = noise.fold(key, 0), noise.fold(key, 1)
    words = [noise.mix(noise.mix(i ^ k0) + k1 & 0xFFFFFFFF) >> 16 for i in range(int(np.prod(shape)))]
    return np.array(words).reshape(shape)


def monitor(s, c):
    moved = {k: norm(p - c.start[k]) for k, p in c.p.items()}
    s["grad_norm"] = {k: norm(g) for k, g in c.grad.items()}
    s["nonfinite_count"] = {k: (~np.isfinite(g)).sum() for k, g in c.grad.items()}
    s["clipped"] = {k: (abs(c.g[k]) != abs(g)).mean() for k, g in c.grad.items()}
    s["update_norm"], s["param_norm"] = moved, {k: norm(p) for k, p in c.p.items()}
    s["effective_lr"] = {k: x / norm(c.g[k]) if c.g[k].any() else 0.0 for k, x in moved.items()}


def whole(kind):
    return lambda run, **more: Stage(kind, run, **more)


def of(key):
    """What eval_params gives: this of the memory, the params before there is any."""
    return lambda s, params: s.get(key, params)


gradient, direction, update = stages.gradient, stages.direction, stages.update
SLOTS = ("grad_norm", "nonfinite_count", "clipped", "update_norm", "param_norm", "effective_lr")
SLOW = {"lasts": ("slow",), "at": of("slow")}

ROWS = {
    "accumulate": before(lambda: [ss.accumulate(3)], Stage("gradient", accumulate)),
    "adaptive_clip": before(lambda: [ss.adaptive_clip(0.1)], gradient(adaptive_clip)),
    "add_noise": before(lambda: [ss.add_noise(0.01)], gradient(add_noise)),
    "centralize": before(
        lambda: [ss.centralize()],
        gradient(lambda s, p, g, x: g - g.mean(axis=1, keepdims=True) if g.ndim > 1 else g),
    ),
    "clip_by_global_norm": before(lambda: [ss.clip_by_global_norm(1.0)], Stage("gradient", clip_by_global_norm)),
    "clip_by_norm": before(
        lambda: [ss.clip_by_norm(0.5, name="leaf")], gradient(lambda s, p, g, x: g * 0.5 / max(norm(g), 0.5))
    ),
    "clip_by_value": before(lambda: [ss.clip_by_value(0.3)], gradient(lambda s, p, g, x: np.clip(g, -0.3, 0.3))),
    "decay, coupled": before(
        lambda: [ss.decay(0.1, mode="coupled", name="l2")], gradient(lambda s, p, g, x: g + 0.1 * p)
    ),
    "flooding": before(lambda: [ss.flooding(1.0)], Stage("gradient", flooding), loss=LEVELS),
    "grokfast": before(lambda: [ss.grokfast(name="slow")], gradient(grokfast)),
    "hidden_accumulation": before(lambda: [ss.hidden_accumulation(3)], Stage("gradient", hidden_accumulation)),
    "hidden_accumulation, fewer updates": before(
        lambda: [ss.hidden_accumulation(3, fewer_updates=True)], Stage("gradient", fewer_updates)
    ),
    "loss_scaling": before(
        lambda: [ss.loss_scaling(8.0, growth_interval=4, name="amp")], Stage("gradient", loss_scaling), bad=True
    ),
    "negate": before(lambda: [ss.negate()], gradient(lambda s, p, g, x: -g)),
    "nesterov_estimate": before(lambda: [ss.nesterov_estimate(0.9)], gradient(nesterov_estimate)),
    "reduce_on_plateau": before(
        lambda: [ss.reduce_on_plateau(factor=0.5, patience=1, name="plateau")],
        Stage("gradient", reduce_on_plateau),
        metric=LEVELS,
    ),
    "skip_nonfinite": before(lambda: [ss.skip_nonfinite(None)], Stage("gradient", skip_nonfinite), bad=True),
    "unscale": before(lambda: [ss.unscale()], Stage("gradient", unscale), grad_scale=[4.0] * (STEPS + 1)),
    "warm_restart": before(lambda: [ss.warm_restart(5)], again(5, warm=True)),
    "agd": behind(lambda: [ss.agd(name="ahead")], Stage("direction", agd, query=ahead, shows={"ahead.m": "m"})),
    "cautious": behind(lambda: [ss.cautious(name="mask")], stages.cautious("mean")),
    "monitor_sigma": behind(
        lambda: [ss.monitor_sigma()], Stage("update", monitor_sigma, shows={"sigma_negative": "falls"})
    ),
    "sign": behind(lambda: [ss.sign()], direction(lambda s, p, u, x: np.sign(u))),
    "trust_ratio": behind(lambda: [ss.trust_ratio(name="ratio")], direction(stages.ratio)),
    "decay, decoupled": before(lambda: [ss.decay(0.1, name="a")], stages.shrink(lambda lr: 1 - lr * 0.1)),
    "decay, independent": before(
        lambda: [ss.decay(0.01, mode="independent", name="b")], stages.shrink(lambda lr: 1 - 0.01)
    ),
    "decay, cautious": before(
        lambda: [ss.decay(0.1, mode="cautious", name="d")],
        update(lambda s, p, u, x: np.where(u * p > 0, p * (1 - x.lr * 0.1), p)),
    ),
    "amos_schedule": behind(
        lambda: [ss.amos_schedule(eta=0.5, speed=0.3, q=0.5, name="fall")],
        update(amos_schedule, replaces="descend"),
    ),
    "kahan": behind(
        lambda: [ss.kahan(name="kahan")], Stage("update", kahan, replaces="descend", shows={"kahan.c": "c"})
    ),
    "decay, proximal": behind(
        lambda: [ss.decay(0.1, mode="proximal", name="c")], stages.shrink(lambda lr: 1 / (1 + lr * 0.1))
    ),
    "lookahead": behind(
        lambda: [ss.lookahead(4, 0.3, name="outer")], Stage("update", slow, shows={"outer.slow": "slow"}, **SLOW)
    ),
    "lookahead, reset": behind(
        lambda: [ss.lookahead(4, 0.3, reset="state", name="again")],
        again(4, warm=False),
        Stage("update", slow, shows={"again.slow": "slow"}, **SLOW),
    ),
    "lookahead, pullback": behind(
        lambda: [ss.lookahead(4, 0.3, reset="pullback", name="back")],
        Stage("update", pullback, shows={"back.slow": "slow"}, lasts=("slow", ("m", "w"), ("m", "b")), at=of("slow")),
    ),
    "snapshot_at_random": behind(
        lambda: [ss.variance_reduced(name="drawn"), ss.snapshot_at_random(every=5, name="drawn")],
        stages.REDUCED,
        Stage("update", snapshot_at_random, query=stages.at_snapshot, at=of("snapshot"), snapshot=True),
        coin=COINS,
    ),
    "snapshot_by_coin": behind(
        lambda: [ss.variance_reduced(name="toss"), ss.snapshot_by_coin(name="toss")],
        stages.REDUCED,
        stages.snapshot(lambda c: COINS[c.n]),
        coin=COINS,
    ),
    "snapshot_every": behind(
        lambda: [ss.variance_reduced(name="vr"), ss.snapshot_every(every=5, name="vr")],
        stages.REDUCED,
        stages.snapshot(lambda c: c.t % 5 == 0, at=of("snapshot")),
    ),
    "ema": behind(
        lambda: [ss.ema(0.9, name="ema")],
        Stage("update", ema, keeps=("n", "sum", "mean"), shows={"ema.average": "mean"}, at=of("mean")),
    ),
    "swa": behind(
        lambda: [ss.swa(3, 2, name="swa")],
        Stage("update", swa, keeps=("n", "all", "mean"), shows={"swa.average": "mean"}, at=of("mean")),
    ),
    "master_weights": behind(
        lambda: [ss.master_weights()],
        Stage("update", master_weights, keeps=("master",), shows={"master": "master"}, leads=True),
    ),
    "stochastic_rounding": behind(lambda: [ss.stochastic_rounding()], Stage("update", stochastic_rounding)),
    "monitor": behind(lambda: [ss.monitor()], Stage("update", monitor, shows={slot: slot for slot in SLOTS})),
}
# what of the catalogue stands in the rows of others
WITHIN = {
    "agd_velocity": "a row of the optimizers: it is their last formula",
    "decay": "decay, coupled",
    "descend": "the last formula of most optimizers",
    "monitor_step": "monitor",
    "variance_reduced": "snapshot_every",
}
