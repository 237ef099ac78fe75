"""The plain NumPy side of the matrix: formulas run one by one, in the order that api.md gives to the parts of a chain.

A stage is a function (s, c). s is its own memory, a dict that a restart empties; c is the call: the gradient or
direction `c.u` so far, the params `c.p`, the clock `c.t`, the step size `c.lr`; arrays by the name of their leaf. It
returns False where nothing behind it is to happen in this call.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np

KINDS = ("gradient", "direction", "update")
STEPS = 20
LEVELS = [3.0 - min(n, 5) / 2 for n in range(STEPS + 1)]  # a loss that falls, and then stays
COINS = [n % 5 == 3 for n in range(STEPS + 1)]  # what `step` is told of a coin, by its count from 1


@dataclass
class Stage:
    """One formula, where it stands, and what it keeps."""

    kind: str
    run: Callable
    first: bool = False  # it takes the second gradient: before all others
    keeps: tuple = ()  # what of its memory no restart empties,
    lasts: tuple = ()  # or a warm one alone
    query: Callable | None = None  # (s, c) -> points, before it runs
    snapshot: bool = False  # it says where the second gradient is taken, and when that is due
    at: Callable | None = None  # (s, params) -> what eval_params gives
    shows: dict = field(default_factory=dict)  # slots of the state: what they are of the memory
    name: str = ""
    replaces: str = ""  # the name of a stage in whose place it stands
    leads: bool = False  # the params between calls are those of its memory, unrounded


def leafwise(kind, formula, **more):
    """A stage of one leaf at a time: formula(s, p, u, x), where x has the clock, lr, g and the like of the leaf."""

    def run(s, c):
        new = {k: formula(s.setdefault(k, {}), c.p[k], u, c.at(k)) for k, u in c.u.items()}
        if kind == "update":
            c.p = new
        else:
            c.u = new

    return Stage(kind, run, **more)


def gradient(formula):
    return leafwise("gradient", formula)


def direction(formula, **more):
    return leafwise("direction", formula, **more)


def update(formula, **more):
    return leafwise("update", formula, **more)


def recur(s, x, name, keep, added):
    """name <- keep name + added; or of k gradients that make a step, a k-th of each."""
    first, k = x.cycle or (True, 1)
    s[name] = (keep if first else 1.0) * s.get(name, 0.0) + added / k
    return s[name]


def norm(x):
    return np.sqrt((x * x).sum())


def total(tree):
    return sum(x.sum() for x in tree.values())


DESCEND = update(lambda s, p, u, x: p - x.lr * u, name="descend")


def shrink(factor):
    """p times what factor(lr) says."""
    return update(lambda s, p, u, x: p * factor(x.lr))


def cautious(scale):
    def masked(s, p, u, x):
        agree = u * x.g > 0
        factor = 1 / max(agree.mean(), 1e-3) if scale == "mean" else agree.size / (agree.sum() + 1)
        return np.where(agree, u * factor, 0.0)

    return direction(masked)


def ratio(s, p, u, x):
    """The trust ratio."""
    return u * (norm(p) / norm(u) if norm(p) * norm(u) > 0 else 1.0)


def _reduced(s, c):
    c.u = {k: u - c.second[k] + c.full[k] for k, u in c.u.items()}


REDUCED = Stage("gradient", _reduced, first=True)


def snapshot(moved, at=None):
    """Where the second gradient is taken: the params of the last call in which moved(c) holds."""

    def run(s, c):
        s.setdefault("snapshot", c.start)
        s["due"] = bool(moved(c))
        if s["due"]:
            s["snapshot"] = c.p

    return Stage("update", run, query=at_snapshot, at=at, snapshot=True)


def at_snapshot(s, c):
    return {"snapshot": s.get("snapshot", c.start)}


class Call(SimpleNamespace):
    """What flows through the stages in one call."""

    def at(self, k):
        """Of one leaf."""

        def of(x):
            return x[k] if isinstance(x, dict) else x

        more = {"lr": of(self.lr), "g": of(self.g), "h": of(self.h), "start": self.start[k], "cycle": self.cycle}
        return SimpleNamespace(k=k, n=self.n, t=self.t, round=self.round, **more)


class Reference:
    """Stages in the order of a chain, and their memories; with `halves` in float32, around params of 16 bits."""

    def __init__(self, stages, lr, halves=False):
        stages = list(stages)
        for stage in [stage for stage in stages if stage.replaces]:
            stages.remove(stage)
            stages[next(i for i, other in enumerate(stages) if other.name == stage.replaces)] = stage
        stages.sort(key=lambda stage: (KINDS.index(stage.kind), stage.kind == "gradient" and not stage.first))
        self.both = [(stage, {}) for stage in stages]
        self.master = next((s for stage, s in self.both if stage.leads), None)
        self.lr, self.halves, self.full, self.n, self.again = lr, halves, None, 0, []

    def points(self, params):
        """Where the next step, which may start some of them again, wants its gradients."""
        for place, warm in self.again:
            for stage, s in self.both[place + 1 :]:
                for key in set(s).difference(stage.keeps, () if warm else stage.lasts):
                    del s[key]
        self.again, found = [], {"x": params}
        if all(stage.query in (None, at_snapshot) for stage, _ in self.both):
            c = SimpleNamespace(start=self.start(params))
            return found | next((at_snapshot(s, c) for stage, s in self.both if stage.query), {})
        last = max((i for i, (stage, _) in enumerate(self.both) if stage.query), default=-1)
        c = self._call(params, *[{k: 0 * p for k, p in params.items()}] * 2)  # the gradients are not known yet
        for stage, s in self._in_order(c, self.both[: last + 1]):
            if stage.query:
                found |= stage.query(s, c)
            stage.run(deepcopy(s), c)
        return found

    def _snapshots(self):
        return [s for stage, s in self.both if stage.snapshot]

    def due(self):
        return any(s.get("due", True) for s in self._snapshots())

    def refresh(self, full):
        self.full = full
        for s in self._snapshots():
            s["due"] = False

    def wide(self, tree):
        return {k: x.astype(np.float32 if self.halves else np.float64) for k, x in (tree or {}).items()}

    def start(self, params):
        return (self.master or {}).get("master") or self.wide(params)

    def _call(self, params, grads, second=None):
        start, grads = self.start(params), self.wide(grads)
        c = Call(n=self.n + 1, t=self.n + 1, u=grads, grad=grads, g=None, p=start, start=start, lr=self.lr, h=None)
        c.second, c.full, c.halves = self.wide(second), self.wide(self.full or second), self.halves
        c.round = (lambda x: np.asarray(x).astype(np.float16).astype(np.float32)) if self.halves else np.asarray
        c.cycle, c.moves, c.outer, c.again = None, True, None, []
        c.memories = [s for _, s in self.both]  # for what reads another's
        return c

    def step(self, params, grads, second=None):
        c = self._call(params, grads, second)
        if self._run(c) and self.master is not None:
            self.master["master"] = c.p
        self.n, self.again = c.n, c.again
        return {k: p.astype(np.float16) for k, p in c.p.items()} if self.halves else c.p

    @staticmethod
    def _in_order(c, both):
        """One after the other; those that move the params have a clock of their own."""
        for c.place, (stage, s) in enumerate(both):
            if c.g is None and stage.kind != "gradient":
                c.g = c.u
            if c.outer and stage.kind == "update":
                c.t, c.outer = c.outer, None
            yield stage, s

    def _run(self, c):
        for stage, s in self._in_order(c, self.both):
            if (stage.kind == "update" and not c.moves) or stage.run(s, c) is False:
                return False
        return True

    def shown(self):
        """Slots of the state, as far as there has been a step."""
        return {slot: s[key] for stage, s in self.both for slot, key in stage.shows.items() if key in s}

    def follow(self, state):
        """Go on from the slots of the state, as from its params."""
        for stage, s in self.both:
            s.update({key: dict(state[slot]) for slot, key in stage.shows.items() if key in s})

    def evaluated(self, params):
        """What eval_params gives."""
        return next((stage.at(s, params) for stage, s in reversed(self.both) if stage.at), params)
