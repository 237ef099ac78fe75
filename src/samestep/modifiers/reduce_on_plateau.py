"""Reduce on plateau: a smaller lr when a metric stops falling; no paper, torch's ReduceLROnPlateau as a part.

With y the metric, or its negative in mode "max", and s = 1, or -1:

    better = y < best (1 - s threshold)                          "rel";  y < best - threshold in "abs"
    stale <- 0 if better or cooling, else stale + 1              cooling: one of the cooldown metrics after a reduction
    scale <- max(scale factor, min_scale), stale <- 0            where stale > patience;  lr scale for lr in this step
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import given, gradient, nonnegative, positive


@gradient(metric=given(float("nan")), best=float("inf"), stale=0.0, cooling=0.0, scale=1.0)
def reduce_on_plateau(
    u,
    metric,
    best,
    stale,
    cooling,
    scale,
    *,
    lr: nonnegative,
    factor: positive = 0.1,
    patience: nonnegative = 10,
    patience_inclusive: bool = False,
    threshold: nonnegative = 1e-4,
    threshold_mode: Literal["rel", "abs"] = "rel",
    cooldown: nonnegative = 0,
    min_scale: nonnegative = 0.0,
    mode: Literal["min", "max"] = "min",
):
    """Multiply lr by a scale that falls when a metric does not: help("samestep.modifiers.reduce_on_plateau").

    Args:
        lr: the step size that is scaled, the chain's; numbers of another name, such as `aux_lr`, stay as they are.
        factor, min_scale: what the scale is multiplied by, 0.1, and its least value, 0.
        patience, patience_inclusive: so many metrics in a row may be no better, 10; True reduces one of them earlier,
            as optax and Keras do, False as torch.
        threshold, threshold_mode: by how much a metric is better, 1e-4: of the best one, "rel", or as it is, "abs".
        cooldown: so many metrics after a reduction are not counted, 0.
        mode: "min", or "max" for a metric that should rise.

    `step` takes the metric, step(params, grads, state, metric=...), and this step is the first with the new lr; one
    without it (or with nan) leaves the scale alone. Behind what skips or accumulates, it hears only of the calls that
    step. The state has the numbers `best` (negative in mode "max"), `stale`, `cooling` and `scale`.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.reduce_on_plateau(patience=0), ss.sgd(1.0)), np.array([1.0])
    >>> state = opt.step(params, params, opt.init(params), metric=3.0)[1]
    >>> opt.step(params, params, state, metric=3.0)
    (array([0.9]), {'step': 2, 'best': 3.0, 'stale': 0.0, 'cooling': 0.0, 'scale': 0.1})
    """
    xp = array_namespace(u)
    told, sign = metric == metric, 1 if mode == "min" else -1
    y = sign * metric
    better = y < (best * (1 - sign * threshold) if threshold_mode == "rel" else best - threshold)
    counted = xp.where(better | (cooling > 0), 0.0, stale + 1)
    reduced = (counted > 0) & ((counted >= patience) if patience_inclusive else (counted > patience))
    smaller = xp.maximum(scale * factor, min_scale)
    new = {
        "best": xp.where(better, y, best),
        "stale": xp.where(reduced, 0.0, counted),
        "cooling": xp.where(reduced, cooldown, xp.maximum(cooling - 1, 0.0)),
        "scale": xp.where(reduced & (scale - smaller > 1e-8), smaller, scale),
    }
    old = {"best": best, "stale": stale, "cooling": cooling, "scale": scale}
    new = {name: xp.where(told, new[name], value) for name, value in old.items()}
    return new | {"lr": lr * new["scale"]}
