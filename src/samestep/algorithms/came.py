"""CAME: Adafactor whose momentum moves less where it agrees less with its terms.

Luo et al., "CAME: Confidence-guided Adaptive Memory Efficient Optimization", 2023, https://arxiv.org/abs/2307.02047.

    rows, cols <- beta2 rows + (1 - beta2) mean_last(g^2 + eps), cols the same with mean_secondlast
    u = g / sqrt(rows cols / mean(rows));   u <- u / max(1, RMS(u) / clip_threshold);   m <- beta1 m + (1 - beta1) u
    res_rows, res_cols the same with beta3, of (u - m)^2 + eps2
    p <- p (1 - lr weight_decay) - lr m / sqrt(res_rows res_cols / mean(res_rows))      leading axes are a batch

A leaf of less than two dimensions has v in place of rows and cols, and just m in the step.
"""

from array_api_compat import array_namespace

from ..constructor import named
from ..factored import clipped, is_factored, means, over_root
from ..modifiers.decay import decay
from ..modifiers.descend import descend
from ..page import cols, direction, nonnegative, positive, rows, unit, zeros


@direction(rows=rows, cols=cols, v=zeros, m=zeros, res_rows=rows, res_cols=cols)
def scale_by_came(
    u,
    rows,
    cols,
    v,
    m,
    res_rows,
    res_cols,
    *,
    beta1: unit = 0.9,
    beta2: unit = 0.999,
    beta3: unit = 0.9999,
    eps: positive = 1e-30,
    eps2: positive = 1e-16,
    clip_threshold: positive = 1.0,
):
    """The direction of CAME; its equations and source: help("samestep.algorithms.came").

    Args:
        beta1, beta2, beta3, eps, eps2, clip_threshold: as in `came`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_came(), ss.descend(2e-4)) == ss.came()
    True
    """
    xp, state, q, factored = array_namespace(u), {}, u * u + eps, is_factored(u)
    if factored:
        state["rows"], state["cols"] = rows, cols = means(xp, q, rows, cols, beta2)
        u = over_root(xp, u, rows, cols)
    else:
        state["v"] = v = beta2 * v + (1 - beta2) * q
        u = u / xp.sqrt(v)
    u = clipped(xp, u, clip_threshold)
    state["m"] = m = beta1 * m + (1 - beta1) * u
    if factored:
        res_rows, res_cols = means(xp, (u - m) * (u - m) + eps2, res_rows, res_cols, beta3)
        state["res_rows"], state["res_cols"] = res_rows, res_cols
        m = over_root(xp, m, res_rows, res_cols)
    return {"u": m, **state}


@named(scale_by_came)
def came(lr: nonnegative = 2e-4, *, weight_decay: nonnegative = 0.0, **hyper):
    """CAME: Adafactor with confidence in its momentum (Luo et al., 2023, https://arxiv.org/abs/2307.02047).

        u = g / sqrt(rows cols / mean(rows));  u <- u / max(1, RMS(u) / clip_threshold);  m <- beta1 m + (1 - beta1) u
        p <- p (1 - lr weight_decay) - lr m / sqrt(res_rows res_cols / mean(res_rows))

    Args:
        lr: step size, 2e-4.
        weight_decay: decoupled decay; 0 leaves the part out.
        beta1, beta2, beta3: the decay of m, of the means of g^2 and of those of (u - m)^2, 0.9, 0.999 and 0.9999.
        eps, eps2: added to g^2, 1e-30, and to (u - m)^2, 1e-16.
        clip_threshold: the largest RMS(u), 1.
        maximize: climb instead of descend, False.
        cautious: mask the direction: False, "mean", "count" or "none".

    Params are floating arrays; slots in the compute dtype: `m`; `rows`, `cols`, `res_rows`, `res_cols` of leaves with
    two dimensions and more, `v` of others.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.came(0.5, beta1=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -3.0]), opt.init(params))[0]
    array([ 0.5, -0.5])
    """
    return [scale_by_came(**hyper), decay(weight_decay) if weight_decay else None, descend(lr)]
