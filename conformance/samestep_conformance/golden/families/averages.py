"""Averages of the parameters: ema, swa. They move no parameter, so they are taken of what the other library did."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..case import Case
from ..oracles import Call, Oracle, call
from ..problem import Leaves, Posed


@dataclass(frozen=True)
class Averaged(Oracle):
    """An optimizer, and the average that another class takes of its params: from step `start` on, every so many."""

    by: Call | None = None
    start: int = 1
    every: int = 1

    def run(self, problem: Posed) -> list[Leaves]:
        assert self.by is not None
        steps = Oracle(self.calls).run(problem)
        times = range(self.start, len(steps) + 1, self.every)
        kept = (_optax if self.by.path.startswith("optax") else _torch)(self.by, [steps[t - 1] for t in times])
        shown: list[Leaves] = []
        for t, params in enumerate(steps, start=1):
            shown.append(next(kept) if t in times else params if t < self.start else shown[-1])
        return shown

    def described(self) -> dict[str, Any]:
        return super().described() | {"averaged": f"{self.by} in steps {self.start}, {self.start + self.every}, ..."}


def _optax(by: Call, steps: list[Leaves]) -> Iterator[Leaves]:
    import jax

    with jax.enable_x64(True), jax.disable_jit():
        trees = [jax.tree.map(jax.numpy.asarray, params) for params in steps]
        average, found = by(), []
        state = average.init(trees[0])
        for tree in trees:
            shown, state = average.update(tree, state)
            found.append({leaf: np.asarray(x) for leaf, x in shown.items()})
    return iter(found)


def _torch(by: Call, steps: list[Leaves]) -> Iterator[Leaves]:
    import torch

    module = torch.nn.ParameterDict({leaf: torch.tensor(p) for leaf, p in steps[0].items()})
    average = by(module)
    for params in steps:
        for leaf, p in params.items():
            module[leaf].data.copy_(torch.from_numpy(p))
        average.update_parameters(module)
        yield {leaf: average.module[leaf].detach().numpy().copy() for leaf in params}


def averaged(by: Call, start: int = 1, every: int = 1) -> Averaged:
    """The average of plain gradient descent."""
    return Averaged(call("torch.optim.SGD", lr=0.02, foreach=False), evaluated=True, by=by, start=start, every=every)


SWA = "torch.optim.swa_utils.AveragedModel"

CASES = [
    Case(
        "ema",
        lambda ss: ss.chain(ss.sgd(0.02), ss.ema(0.9)),
        averaged(call("optax.ema", 0.9, debias=True, accumulator_dtype="float64")),
    ),
    Case(
        "ema_biased",
        lambda ss: ss.chain(ss.sgd(0.02), ss.ema(0.9, debias=False)),
        averaged(call(SWA, multi_avg_fn=call("torch.optim.swa_utils.get_ema_multi_avg_fn", 0.9))),
    ),
    Case(
        "swa",
        lambda ss: ss.chain(ss.sgd(0.02), ss.swa(start=11, every=4)),
        averaged(call(SWA), start=11, every=4),
    ),
]
