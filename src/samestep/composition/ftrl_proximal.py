"""FTRL-Proximal of any rule: the lazy solver of the composition.

McMahan, "Follow-the-Regularized-Leader and Mirror Descent: Equivalence Theorems and L1 Regularization", 2011,
https://proceedings.mlr.press/v15/mcmahan11b.html.

    p <- argmin over w of  (sum of all u) w + l1_t |w| + l2_t / 2 w^2 + sum over s <= t of sigma_s / 2 (w - p_s)^2

u is the gradient or its mean, sigma_t = h_t - h_{t-1} with h of a rule (`rules.py`), so that their sum is h_t;
z <- z + u - sigma_t p keeps both sums, and the minimum is that of `prox.py`. sigma may be negative.
Centred, every p_s is 0 and z <- z + u: dual averaging; with AdaGrad's h the primal-dual form of Duchi et al., 2011,
https://jmlr.org/papers/v12/duchi11a.html, which is TensorFlow's AdagradDA.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..page import nonnegative, positive, unit, update, zeros
from ..slots import Slot
from .choices import Rule, mean, ruled, unbias, weighed
from .prox import Curvatures, Penalties, lazy_l2, minimum, penalty, shared


@update(z=zeros, h_prev=zeros, lr_prev=Slot("number", lambda xp, p, hyper: hyper["lr"]))
def lazy_step(
    p,
    u,
    h,
    h0,
    z,
    h_prev,
    lr_prev,
    t,
    *,
    lr: positive,
    l1: nonnegative | None = None,
    l2: nonnegative | None = None,
    half: nonnegative | None = None,
    group_l2: nonnegative | None = None,
    group_half: nonnegative | None = None,
    axis: int = -1,
    l1_schedule: Penalties = "incremental",
    l2_schedule: Curvatures = "classical",
    framework_sigma: bool = False,
    z0: Literal["prox", "zeros"] = "prox",
    centred: bool = False,
):
    """The step of `ftrl_proximal`, behind a part that says h: help("samestep.composition.ftrl_proximal").

    Args:
        lr, l1, l2, half, group_l2, group_half: the chain's own; weights of the regularisers, None without.
        axis, l1_schedule, l2_schedule, framework_sigma, z0, centred: as in `ftrl_proximal`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.rules.adagrad(), ss.lazy_step(lr=0.1, l1=0.1)).hyperparameters(0)["l1"]
    0.1
    """
    xp = array_namespace(p)
    h = h if group_half is None else shared(p, h, axis)
    before = h_prev * (lr_prev / lr) if framework_sigma else h_prev
    sigma, curve = h - (xp.where(t == 1, h0, before) if z0 == "zeros" else before), h
    if l2 is not None:
        sigma, curve = lazy_l2(l2_schedule, t, l2, h, sigma)
    z = z + u if centred else z + u - sigma * p
    times = penalty(l1_schedule, t, lr, h)
    weights = {"l1": l1, "half": half, "group_l2": group_l2, "group_half": group_half}
    weights = {name: None if weight is None else times * weight for name, weight in weights.items()}
    moved = minimum(p if z0 == "prox" else None, z, curve, axis=axis, **weights)
    sums = {"p": moved, "z": z}
    return sums if centred else {**sums, "h_prev": h, **({"lr_prev": lr} if framework_sigma else {})}


@named(unbias, lazy_step)
def ftrl_proximal(
    lr: positive = 1e-2,
    *,
    rule: Rule = "constant",
    momentum: unit = 0.0,
    bias_correction: bool = False,
    l1: nonnegative = 0.0,
    l2: nonnegative = 0.0,
    half: nonnegative = 0.0,
    group_l2: nonnegative = 0.0,
    group_half: nonnegative = 0.0,
    **hyper,
):
    """FTRL-Proximal of any rule (McMahan, 2011, https://proceedings.mlr.press/v15/mcmahan11b.html).

        z <- z + u - (h_t - h_{t-1}) p;  p <- argmin over w of  z w + l1_t |w| + (l2_t + h_t) / 2 w^2

    Args:
        lr, rule, momentum, bias_correction: as in `mirror_descent`, 1e-2, "constant", 0 and False.
        l1, l2, half, group_l2, group_half, axis: as in `mirror_descent`, 0, 0, 0, 0, 0 and -1.
        l1_schedule: l1 (and half, ...) times t, "incremental"; 1, "fixed", for sparse weights; sqrt(t), "sqrt"; t^2,
            "square"; lr h, "adaptive"; or a function of (t, h).
        l2_schedule: l2_t is t l2, "classical"; l2, "fixed"; l2 h, "decoupled"; or l2 (h_1 + ... + h_t), "sum_inv_lr",
            with as much taken off the proximal terms: the decoupled decay of `mirror_descent`.
        framework_sigma: h_{t-1} with the lr of this step, as in other libraries, False; the same for a constant lr.
        z0: "prox": the first term is centred at the first params; "zeros": what h is before a gradient is centred at 0.
        centred: all terms are centred at 0, which is dual averaging, False.
        maximize, cautious: as in `mirror_descent`, False and False.

    Without weights the steps are those of `mirror_descent`, unless centred. Params are floating arrays of any shape;
    slots `z`, `h_prev` unless centred, the rule's and `m` in the compute dtype; with framework_sigma, number `lr_prev`.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or a cell that is absent.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.ftrl_proximal(0.5, l1=1.0), np.array([0.0, 0.0])
    >>> opt.step(params, np.array([4.0, -0.5]), opt.init(params))[0]
    array([-1.5,  0. ])
    """
    if hyper["centred"] and (hyper["framework_sigma"] or hyper["z0"] != "prox"):
        raise HyperparameterError("centred has no sigma, and no other centre: leave framework_sigma and z0 out")
    weights = weighed(hyper["l1_schedule"], l1=l1, l2=l2, half=half, group_l2=group_l2, group_half=group_half)
    return [*mean(momentum, bias_correction), ruled(rule, lr), lazy_step(lr=lr, **weights, **hyper)]
