"""Gradient descent, and its momentum in three forms.

Polyak, "Some methods of speeding up the convergence of iteration methods", 1964, https://doi.org/10.1016/0041-5553(64)90137-5.
Sutskever et al., "On the importance of initialization and momentum in deep learning", 2013, nesterov and velocity,
https://proceedings.mlr.press/v28/sutskever13.html.

    classical    m <- momentum m + (1 - dampening) g      p <- p - lr m
    ema          m <- momentum m + (1 - momentum) g       p <- p - lr m
    velocity     m <- momentum m + lr g                   p <- p - m
    nesterov     in the step of p, momentum m + (the term of g) stands for m
"""

from typing import Literal

from array_api_compat import array_namespace

from ..constructor import named
from ..errors import HyperparameterError
from ..modifiers.cautious import Masks, masked
from ..modifiers.decay import Coupling, decay_if
from ..modifiers.descend import descend
from ..page import direction, fraction, nonnegative, unit, update, zeros


@direction(m=zeros)
def momentum(
    u,
    m,
    t,
    *,
    momentum: unit = 0.9,
    dampening: fraction = 0.0,
    nesterov: bool = False,
    form: Literal["classical", "ema"] = "classical",
    first_step: Literal["grad", "zero"] = "grad",
):
    """The heavy ball; its equations and sources: help("samestep.algorithms.sgd").

    Args:
        momentum: the decay of the buffer, 0.9.
        dampening: what is taken off the weight of a gradient, in the classical form, 0.
        nesterov, form: look one step ahead, False; "classical" or "ema", which is not debiased.
        first_step: of the classical form: "grad", m = g whatever dampening is, as in torch; "zero", m starts at 0.

    >>> import samestep as ss
    >>> ss.chain(ss.momentum(0.9, nesterov=True), ss.descend(0.1)) == ss.sgd(0.1, momentum=0.9, nesterov=True)
    True
    """
    xp = array_namespace(u)
    weight = 1 - momentum if form == "ema" else 1 - dampening
    if form == "classical" and first_step == "grad":
        weight = xp.where(t == 1, 1.0, weight)
    m = momentum * m + weight * u
    return {"u": momentum * m + weight * u if nesterov else m, "m": m}


@update(m=zeros)
def velocity(p, u, m, *, lr: nonnegative, momentum: unit = 0.9, nesterov: bool = False):
    """The heavy ball with lr inside the buffer, in place of `descend`: help("samestep.algorithms.sgd").

    Args:
        lr, momentum, nesterov: as in `sgd`; momentum is 0.9.

    >>> import samestep as ss
    >>> ss.chain(ss.velocity(0.1, momentum=0.9)) == ss.sgd(0.1, momentum=0.9, form="velocity")
    True
    """
    m = momentum * m + lr * u
    return {"p": p - (momentum * m + lr * u) if nesterov else p - m, "m": m}


heavy_ball = momentum  # `sgd` and `rmsprop` have a number of that name


@named(momentum)
def sgd(
    lr: nonnegative = 1e-3,
    *,
    momentum: unit = 0.0,
    form: Literal["classical", "velocity", "ema"] = "classical",
    weight_decay: nonnegative = 0.0,
    decay: Coupling = "coupled",
    cautious: Masks = False,
    **hyper,
):
    """Gradient descent, with momentum in three forms (Polyak, 1964, https://doi.org/10.1016/0041-5553(64)90137-5).

        m <- momentum m + (1 - dampening) g;  p <- p - lr m

    Args:
        lr, momentum: step size, 1e-3; the decay of the buffer, 0: no buffer.
        form: "classical" as above; "ema": (1 - momentum) g is added; "velocity": lr g is, and p <- p - m (Keras).
        weight_decay, decay: 0 leaves it out; "coupled", added to g as weight_decay p, or "decoupled", as in AdamW.
        dampening: as above, 0; only in the classical form without nesterov.
        nesterov: look one step ahead, in every form: momentum m + (1 - dampening) g for m in the step, False.
        first_step: of the classical form, "grad": m = g whatever dampening is, as in torch; "zero": m starts at 0.
        maximize, dialect: climb instead of descend, False; "torch", "optax", "keras" or "tf1", as there, None.
        cautious: mask the direction: False, "mean", "count" or "none"; needs momentum, and not the velocity form.

    Params are floating arrays of any shape; slot `m`, where momentum is not 0, in the compute dtype.

    Raises:
        HyperparameterError: an unknown name, a number outside its domain, or options that exclude each other.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.sgd(0.5, momentum=0.9), np.array([1.0, -1.0])
    >>> opt.step(params, np.array([1.0, -2.0]), opt.init(params))
    (array([0.5, 0. ]), {'step': 1, 'm': array([ 1., -2.])})
    """
    inside, nesterov, dampening = form == "velocity", hyper["nesterov"], hyper["dampening"]
    if (nesterov or dampening) and not momentum:
        raise HyperparameterError("nesterov and dampening need momentum above 0: write sgd(momentum=0.9, ...)")
    if dampening and (nesterov or form != "classical"):
        raise HyperparameterError("dampening needs form='classical' and nesterov=False: leave it at 0")
    if cautious and (inside or not momentum):
        raise HyperparameterError("cautious masks the momentum: give momentum > 0 and form 'classical' or 'ema'")
    ball = heavy_ball(momentum=momentum, form="classical" if inside else form, **hyper)
    if inside and momentum:
        return [decay_if(weight_decay, decay), velocity(lr, momentum=momentum, nesterov=nesterov)]
    return [decay_if(weight_decay, decay), ball if momentum else None, masked(cautious), descend(lr)]
