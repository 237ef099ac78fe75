"""Adam and AdamW: a mean of gradients over the root of a mean of their squares.

Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, https://arxiv.org/abs/1412.6980, section 2.
Loshchilov, Hutter, "Decoupled Weight Decay Regularization", 2019, https://arxiv.org/abs/1711.05101.
Reddi, Kale, Kumar, "On the Convergence of Adam and Beyond", 2018, https://arxiv.org/abs/1904.09237, for amsgrad.

    m <- beta1 m + (1 - beta1) g,    v <- beta2 v + (1 - beta2) g^2,    c1 = 1 - beta1^t,    c2 = 1 - beta2^t
    u = m / c1 / (sqrt(v / c2 + eps_root) + eps)        "outside", algorithm 1
    u = m / c1 / sqrt(v / c2 + eps_root + eps)          "inside"
    u = sqrt(c2) / c1 m / (sqrt(v + eps_root) + eps)    "hat", the paper's epsilon hat
    amsgrad, x in place of v in u:
    "post"  x = v_max <- max(v_max, v)       "pre"      x / c2 = v_max <- max(v_max, v / c2)
    "paper" the same, with c1 = c2 = 1       "inplace"  x / c2 = v <- v + (1 - beta2) / c2 max(g^2 - v, 0)

A handbook corrects the v before, which is corrected already, by 1 - beta2^(t-1) once more: 0 / 0 at t = 1, and without
bound after it; "pre" and "inplace" are what its two formulas mean. It says that torch does not correct v_max: it does.
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, nonnegative, unit, zeros


@direction(m=zeros, v=zeros, v_max=zeros)
def scale_by_adam(
    u, m, v, v_max, t, *, beta1: unit = 0.9, beta2: unit = 0.999, eps: nonnegative = 1e-8,
    eps_mode: Literal["outside", "inside", "hat"] = "outside", eps_root: nonnegative = 0.0,
    amsgrad: Literal[False, True, "post", "pre", "paper", "inplace"] = False, bias_correction: bool = True,
):  # fmt: skip
    """The direction of Adam; its equations and source: help("samestep.algorithms.adam").

    Args:
        beta1, beta2, eps, eps_mode, eps_root, amsgrad, bias_correction: as in `adam`, with its defaults.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_adam(eps=1e-6), ss.descend(0.01)) == ss.adam(0.01, eps=1e-6)
    True
    """
    xp = array_namespace(u)
    c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction and amsgrad != "paper" else (1.0, 1.0)
    m = beta1 * m + (1 - beta1) * u
    if amsgrad == "inplace":
        v, c2 = v + (1 - beta2) / c2 * xp.maximum(u * u - v, 0.0), 1.0
    else:
        v = beta2 * v + (1 - beta2) * u * u
    x = v
    if amsgrad == "pre":
        x, c2 = xp.maximum(v_max, 1 / c2 * v), 1.0
    elif amsgrad in (True, "post", "paper"):
        x = xp.maximum(v_max, v)
    if eps_mode == "inside":
        root = xp.sqrt(x + c2 * (eps_root + eps))
    elif eps_mode == "outside":
        root = xp.sqrt(x + c2 * eps_root) + xp.sqrt(c2) * eps
    else:
        root = xp.sqrt(x + eps_root) + eps
    return {"u": m / (c1 / xp.sqrt(c2) * root), "m": m, "v": v, "v_max": v_max if x is v else x}


@named(scale_by_adam)
def adam(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 0.0, decay: Coupling = "coupled", **hyper):
    """Adam (Kingma, Ba, 2015, https://arxiv.org/abs/1412.6980).

        m <- beta1 m + (1 - beta1) g;  v <- beta2 v + (1 - beta2) g^2;  p <- p - lr m_hat / (sqrt(v_hat) + eps)

    Args:
        lr, weight_decay, decay: step size, 1e-3; decay, 0; "coupled", added to the gradient, or "decoupled", AdamW.
        beta1, beta2, eps, eps_root: decay of the means, 0.9, 0.999; keeps u finite, 1e-8; added below the root, 0.
        eps_mode: "outside" as above; "inside": sqrt(v_hat + eps); "hat": eps beside the raw sqrt(v), as in Keras.
        amsgrad: the largest v: False, "post" or True (torch), "pre" (optax), "paper" (uncorrected), "inplace" (in v).
        bias_correction: m_hat = m / (1 - beta1^t), v_hat = v / (1 - beta2^t), True; else m and v.
        maximize, cautious: climb instead of descend, False; mask the direction: False, "mean", "count" or "none".
        dialect: the conventions and numbers of "torch", "optax", "keras" or "tf1", None.

    Params are floating arrays of any shape; slots `m`, `v`, and `v_max` with most amsgrads, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.adam(0.5, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -2.0]), opt.init(params))[0]
    array([ 0.5, -0.5])
    """
    return [decay_if(weight_decay, decay), scale_by_adam(**hyper), descend(lr)]


@named(scale_by_adam)
def adamw(lr: nonnegative = 1e-3, *, weight_decay: nonnegative = 1e-2,
          decay: Literal["decoupled", "independent", "proximal"] = "decoupled", **hyper):  # fmt: skip
    """AdamW: Adam with decoupled decay (Loshchilov, Hutter, 2019, https://arxiv.org/abs/1711.05101).

        p <- p (1 - lr weight_decay) - lr m_hat / (sqrt(v_hat) + eps), with m and v as in `adam`

    Args:
        lr, weight_decay: step size, 1e-3; decay, 1e-2, of which 0 leaves the part out.
        decay: "decoupled" as above; "independent" of lr, as in the paper; "proximal", p / (1 + lr weight_decay) last.
            The adaptive proximal form is a `mirror_descent`: help("samestep.modifiers.decay").
        beta1, beta2, eps, eps_root, dialect: as in `adam`, 0.9, 0.999, 1e-8, 0 and None; there is no "tf1".
        eps_mode, amsgrad, bias_correction, maximize, cautious: as in `adam`, "outside", False, True, False and False.

    Params are floating arrays; slots `m`, `v` and `v_max` in the compute dtype: `adam` takes its state, and it Adam's.

    Raises:
        HyperparameterError: an unknown name, or a number outside its domain.

    >>> import samestep as ss
    >>> ss.adamw(0.5, weight_decay=0.1) == ss.chain(ss.scale_by_adam(), ss.decay(0.1), ss.descend(0.5))
    True
    """
    part, step = decay_if(weight_decay, decay), descend(lr)
    return [scale_by_adam(**hyper), *([step, part] if decay == "proximal" else [part, step])]
