"""Gradient accumulation inside the momentum, without a buffer of its own.

Su, "Gradient accumulation hidden in momentum", 2021, https://kexue.fm/archives/8634.

Of k calls the last one moves p. A slot that is a recurrence s <- c s + h(g) takes in each of the k gradients:

    s <- c s + h(g) / k   in the first call of k,    s <- s + h(g) / k   in the others
"""

from array_api_compat import array_namespace

from ..page import count, gradient


@gradient()
def hidden_accumulation(u, t, *, k: count, fewer_updates: bool = False):
    """Step with the mean of k gradients, collected by the momentum: help("samestep.modifiers.hidden_accumulation").

    Args:
        k: how many gradients make one step.
        fewer_updates: False; True leaves the slots as they are, stepped with each gradient, and only p waits: the
            article's other variant, which is not the same as a step with the mean; with decays 1 - (1 - beta) / k in
            place of beta it is nearly that.

    The step is that of `accumulate(k)` where the direction is made of means of the gradient (sgd with momentum that is
    not Nesterov's, signum, tiger). A mean of squares, as the v of adam, becomes the mean of all squares in place of
    that of squared means: an approximation, larger by up to k. What follows counts whole steps: bias corrections
    (t / k), schedules, decay, averages, restarts. Parts that gate stand before it, those that restart behind it.

    Raises:
        TraceError: at `init`, a direction that reads the gradient itself (lion, Nesterov's, a cautious one) or keeps
            anything else (amsgrad's maximum).

    >>> import numpy as np, samestep as ss
    >>> opt, params = ss.chain(ss.hidden_accumulation(2), ss.sgd(1.0, momentum=0.5)), np.array([9.0])
    >>> state = opt.init(params)
    >>> for g in (1.0, 3.0, 2.0, 2.0):
    ...     params, state = opt.step(params, np.array([g]), state)
    ...     print(params, state)
    [9.] {'step': 1, 'm': array([0.5])}
    [7.] {'step': 2, 'm': array([2.])}
    [7.] {'step': 3, 'm': array([2.])}
    [4.] {'step': 4, 'm': array([3.])}
    """
    xp = array_namespace(u)
    outer, moves = (t + k - 1) // k, t % k == 0
    if fewer_updates:
        return {"moves": moves, "outer": outer}

    def recurrence(slot, kept, added):
        return xp.where((t - 1) % k == 0, kept, slot) + added / k

    return {"t": outer, "moves": moves, "recurrence": recurrence}
