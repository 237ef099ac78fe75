"""RMSprop: each coordinate divided by the root of the mean of its squared gradients.

Tieleman, Hinton, "Lecture 6.5: RMSprop", 2012, https://www.cs.toronto.edu/~hinton/coursera/lecture6/lec6.pdf.
Graves, "Generating Sequences With Recurrent Neural Networks", 2013, https://arxiv.org/abs/1308.0850, centered.

    v <- rho v + (1 - rho) g^2,   mean <- rho mean + (1 - rho) g
    q = v, or v - mean^2 (centered), of v / (1 - rho^t) and mean / (1 - rho^t) with bias correction
    u = g / (sqrt(q) + eps)       "outside"
    u = g / sqrt(q + eps)         "inside"
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named, refuse_idle
from ..errors import HyperparameterError
from ..modifiers.cautious import Masks, masked
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, full, nonnegative, unit, zeros
from .sgd import heavy_ball, velocity


@direction(v=full("initial_accumulator"), mean=zeros)
def scale_by_rmsprop(
    u,
    v,
    mean,
    t,
    *,
    rho: unit = 0.99,
    eps: nonnegative = 1e-8,
    eps_mode: Literal["outside", "inside"] = "outside",
    centered: bool = False,
    clamp_centered: bool = True,
    bias_correction: bool = False,
    initial_accumulator: nonnegative = 0.0,
):
    """The direction of RMSprop; its equations and source: help("samestep.algorithms.rmsprop").

    Args:
        rho: the decay of the mean square, 0.99.
        eps: keeps the quotient finite, 1e-8.
        eps_mode: "outside" or "inside" the root.
        centered: the variance in place of the mean square, False; with bias correction it is 0 at t = 1.
        clamp_centered: a variance that rounding makes negative is 0, True; False gives nan there, as in torch.
        bias_correction: divide the means by 1 - rho^t, False.
        initial_accumulator: where the mean square starts, 0.

    >>> import samestep as ss
    >>> ss.chain(ss.scale_by_rmsprop(centered=True), ss.descend(0.01)) == ss.rmsprop(0.01, centered=True)
    True
    """
    xp = array_namespace(u)
    v = rho * v + (1 - rho) * u * u
    weight = 1 / (1 - rho**t)
    q = weight * v if bias_correction else v
    if centered:
        mean = rho * mean + (1 - rho) * u
        centre = weight * mean if bias_correction else mean
        q = q - centre * centre
        q = xp.maximum(q, 0.0) if clamp_centered else q
    root = xp.sqrt(q + eps) if eps_mode == "inside" else xp.sqrt(q) + eps
    return {"u": u / root, "v": v, "mean": mean}


@named(scale_by_rmsprop)
def rmsprop(
    lr: nonnegative = 1e-2,
    *,
    momentum: unit = 0.0,
    nesterov: bool = False,
    form: Literal["classical", "velocity"] = "classical",
    weight_decay: nonnegative = 0.0,
    decay: Coupling = "coupled",
    cautious: Masks = False,
    **hyper,
):
    """RMSprop (Tieleman, Hinton, 2012, https://www.cs.toronto.edu/~hinton/coursera/lecture6/lec6.pdf).

        v <- rho v + (1 - rho) g^2;  u = g / (sqrt(v) + eps);  m <- momentum m + u;  p <- p - lr m

    Args:
        lr: step size, 1e-2.
        momentum, nesterov: of a heavy ball on the direction, 0: no buffer; which looks one step ahead, False.
        form: of that momentum, "classical" as above; "velocity": m <- momentum m + lr u, p <- p - m (optax, Keras).
        weight_decay, decay: 0 leaves it out; "coupled", added to g, or "decoupled", p <- p (1 - lr weight_decay).
        rho: the decay of the mean square, 0.99.
        eps, eps_mode: 1e-8, keeps u finite; "outside" as above; "inside": sqrt(v + eps), as in optax and Keras.
        centered: subtract the square of the mean gradient from v below the root, False.
        clamp_centered: if so, what rounding makes negative is 0, True; False gives nan there, as in torch.
        bias_correction: divide the means by 1 - rho^t, False; advisable from v = 0.
        initial_accumulator: where v starts, 0; read by `init` alone.
        maximize, dialect: climb instead of descend, False; "torch", "optax", "keras" or "tf1", as there, None.
        cautious: mask the direction: False, "mean", "count" or "none"; not with momentum in the velocity form.

    Params are floating arrays of any shape; slots `v`, `mean` (centered) and `m` (momentum) in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or options that exclude each other.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.rmsprop(0.25, rho=0.75, eps=0.0), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([3.0, -6.0]), opt.init(params))
    (array([ 0.5, -0.5]), {'step': 1, 'v': array([2.25, 9.  ])})
    """
    inside = form == "velocity"
    refuse_idle(rmsprop, hyper, clamp_centered=not hyper["centered"])
    if nesterov and not momentum:
        raise HyperparameterError("nesterov needs momentum above 0: write rmsprop(momentum=0.9, ...)")
    if cautious and inside and momentum:
        raise HyperparameterError("cautious masks the whole direction, and velocity has none: write form='classical'")
    return [
        decay_if(weight_decay, decay),
        scale_by_rmsprop(**hyper),
        heavy_ball(momentum, nesterov=nesterov) if momentum and not inside else None,
        masked(cautious),
        velocity(lr, momentum=momentum, nesterov=nesterov) if momentum and inside else descend(lr),
    ]
