"""Warm restart: the optimizer starts again where it is, every so many steps.

Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, https://arxiv.org/abs/1608.03983: lr;
O'Donoghue, Candès, "Adaptive Restart for Accelerated Gradient Schemes", 2015, https://arxiv.org/abs/1204.3982: slots.

    before step 1 + every, 1 + 2 every, ...:   slots <- as init makes them at p,   t <- 0
"""

from ..page import count, gradient


@gradient()
def warm_restart(t, *, every: count, reset: tuple | None = None):
    """Start what follows again, and its count, every so many steps: help("samestep.modifiers.warm_restart").

    Args:
        every: steps from one restart to the next.
        reset: the slots that start again, as in the verb `restart`, which this is: with them go the others of their
            part, and what hangs on `t`. None is all but those that are kept: averages, what dog, prodigy
            and the like know of the distance.

    Schedules start again too, which makes a cosine one of warm restarts. `step` goes on.

    Raises:
        TraceError: at `init`, a slot that nothing behind it in the chain has.

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.warm_restart(2), ss.sgd(1.0, momentum=0.5)), np.array([9.0])
    >>> state = opt.init(params)
    >>> for _ in range(3):
    ...     params, state = opt.step(params, np.array([1.0]), state)
    ...     print(params, state)
    [8.] {'step': 1, 'm': array([1.])}
    [6.5] {'step': 2, 'm': array([1.5])}
    [5.5] {'step': 3, 'm': array([1.])}
    """
    return {"t": (t - 1) % every + 1, "restart": (t - 1) % every == 0, "slots": reset}
