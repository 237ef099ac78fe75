"""FTRL-Proximal: follow the regularised leader, one proximal term for every point on the way.

McMahan et al., "Ad Click Prediction: a View from the Trenches", 2013, https://doi.org/10.1145/2487575.2488200.

    n_t = n_{t-1} + g^2;   1/eta_t = (beta + n_t^(-lr_power)) / lr_t;   sigma_t = 1/eta_t - 1/eta_{t-1}
    z <- z + g - sigma_t p
    p <- 0 where |z| <= l1_t, else -(z - sign(z) l1_t) / (1/eta_t + l2_t)

The paper writes sigma for a constant lr. Here it telescopes under any schedule, of beta and lr_power too: without l1
and l2 the steps are AdaGrad's.
A handbook has s / (1 + l2_t s) for the inverse of the last denominator, s = 1/eta_t, which is right of s = eta_t.
Here l1_t = l1, l2_t = l2; what other schedules of them are is in `samestep.ftrl_proximal`, and so is any other rule.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..composition.prox import Curvatures, Penalties, lazy_l2, minimum, penalty
from ..constructor import named
from ..hypers import nonpositive
from ..page import full, nonnegative, positive, update
from ..slots import Slot


def _power(n, lr_power):
    return n**0.5 if lr_power is None else n**-lr_power


def _centre(p, *, lr, lr_power, beta, l2, l2_form, initial_accumulator, l2_schedule, z0):
    """The first z: the proximal term of the start, centred at the first parameter or at 0."""
    if z0 == "zeros":
        return array_namespace(p).zeros_like(p)
    share = (1 + (2 * l2 if l2_form == "whole" else l2)) * p if l2_schedule == "sum_inv_lr" else p
    return -(beta + _power(initial_accumulator, lr_power)) / lr * share


@update(
    alone="z sums the gradients and p is solved from z, so a direction before it would be summed in their place",
    z=_centre,
    n=full("initial_accumulator"),
    lr_prev="lr",
    beta_prev="beta",
    power_prev=Slot("number", lambda xp, p, hyper: -0.5 if hyper["lr_power"] is None else hyper["lr_power"]),
)
def ftrl_step(
    u, p, z, n, lr_prev, beta_prev, power_prev, t, *,
    lr: positive,
    lr_power: nonpositive | None = None,
    beta: nonnegative = 0.0,
    l1: nonnegative = 0.0,
    l2: nonnegative = 0.0,
    l2_form: Literal["half", "whole"] = "half",
    initial_accumulator: nonnegative = 0.0,
    l2_shrinkage: nonnegative | None = None,
    l1_schedule: Penalties = "fixed",
    l2_schedule: Curvatures = "fixed",
    framework_sigma: bool = False,
    z0: Literal["prox", "zeros"] = "prox",
):  # fmt: skip
    """The step of FTRL-Proximal; its equations and source: help("samestep.algorithms.ftrl").

    Args:
        lr, beta, l1, l2, l2_form, initial_accumulator, l1_schedule, l2_schedule, framework_sigma, z0: as in `ftrl`.
        lr_power, l2_shrinkage: as in `ftrl`; None stands for -0.5, and for no shrinkage.

    >>> import samestep as ss
    >>> ss.chain(ss.ftrl_step(lr=0.1, l1=1.0)) == ss.ftrl(0.1, l1=1.0)
    True
    """
    after = _power(n + u * u, lr_power)
    inverse = (beta + after) / lr
    if framework_sigma:
        sigma, last = (after - _power(n, lr_power)) / lr, {}
    else:
        sigma = inverse - (beta_prev + _power(n, None if lr_power is None else power_prev)) / lr_prev
        last = {"lr_prev": lr, "beta_prev": beta} | ({} if lr_power is None else {"power_prev": lr_power})
    sigma, curve = lazy_l2(l2_schedule, t, 2 * l2 if l2_form == "whole" else l2, inverse, sigma)
    z = z + (u if l2_shrinkage is None else u + 2 * l2_shrinkage * p) - sigma * p
    moved = minimum(p if z0 == "prox" else None, z, curve, l1=penalty(l1_schedule, t, lr, inverse) * l1)
    return {"p": moved, "h": inverse, "z": z, "n": n + u * u, **last}


@named(ftrl_step)
def ftrl(lr: positive = 0.1, *, lr_power: nonpositive = -0.5, l2_shrinkage: nonnegative = 0.0, **hyper):
    """FTRL-Proximal (McMahan et al., 2013, https://doi.org/10.1145/2487575.2488200).

        n_t = n_{t-1} + g^2;  1/eta_t = (beta + n_t^(-lr_power)) / lr_t;  z <- z + g - (1/eta_t - 1/eta_{t-1}) p
        p <- 0 where |z| <= l1, else -(z - sign(z) l1) / (1/eta_t + l2)

    Args:
        lr: step size, 0.1, above 0; a schedule keeps its meaning.
        lr_power: the power of n, at most 0; -0.5 is the square root.
        beta: added to that power, 0.
        l1: the threshold that makes exact zeros, 0.
        l2, l2_form: (l2 / 2) |p|^2 in the objective, 0, "half"; or "whole", l2 |p|^2, as Keras and TensorFlow have it.
        initial_accumulator: the first n, 0.
        l1_schedule, l2_schedule: "fixed" and "fixed"; the others are those of `ftrl_proximal`, with h = 1/eta.
        l2_shrinkage: adds 2 l2_shrinkage p to the gradient in z, not in n; 0 leaves it out.
        framework_sigma: both powers in sigma over lr_t, as other libraries have it; False. The same for a constant lr.
        z0: where the first proximal term is centred: "prox", at the first params, or "zeros", at 0, as elsewhere.
        maximize, dialect: climb instead of descend, False; the conventions and numbers of "keras" or "tf1", None.

    Where beta, initial_accumulator and every gradient so far are 0, p stays; with z0="zeros" it becomes 0. With that,
    lr, beta, l1, l2 are Vowpal Wabbit's --ftrl_alpha, 0.005 by default there, --ftrl_beta, 0.1, --l1 and --l2.

    Params are floating arrays of any shape; slots `z` and `n` in the compute dtype, and the numbers `lr_prev`,
    `beta_prev` and, beside another power than the root, `power_prev`.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.
        ChainError: a direction part in the same chain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.ftrl(0.5, l1=1.0), np.array([0.0, 0.0])
    >>> opt.step(params, np.array([4.0, -0.5]), opt.init(params))[0]
    array([-0.375,  0.   ])
    """
    root = not callable(lr_power) and lr_power == -0.5
    return [ftrl_step(lr=lr, lr_power=None if root else lr_power, l2_shrinkage=l2_shrinkage or None, **hyper)]
