"""Variance reduction: a gradient of a batch, corrected by what that batch says at a snapshot.

Johnson, Zhang, "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", 2013,
https://papers.nips.cc/paper/4937-accelerating-stochastic-gradient-descent-using-predictive-variance-reduction.

    u <- g_batch(x) - g_batch(snapshot) + g_full(snapshot)

    snapshot_every:      snapshot <- p after so many steps, or snapshot, p <- the mean of the p after each of them
    snapshot_at_random:  snapshot, p <- the p before the last one of them whose coin says so
    snapshot_by_coin:    snapshot <- p where the coin says so
"""

from typing import Literal

from array_api_compat import array_namespace

from ..page import copy, count, full_gradient, given, gradient, stale, update


@gradient(g_full=full_gradient)
def variance_reduced(u, g_snapshot, g_full):
    """Correct the gradient by that at a snapshot, for any optimizer: help("samestep.modifiers.variance_reduced").

    Stands before every other gradient part: they see the estimate. In the same chain another part says where the
    snapshot is, `snapshot_every` or `snapshot_by_coin`. Slot `g_full`, which `refresh` fills.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.descend(0.1), ss.snapshot_every(every=100)) == ss.svrg(0.1, every=100)
    True
    """
    return {"u": u - g_snapshot + g_full}


def at_snapshot(snapshot):
    """The query of all that keep one: x are the params."""
    return {"snapshot": snapshot}


def eval_at_snapshot(snapshot):
    """The params to evaluate at."""
    return {"p": snapshot}


def _moved(xp, when, to, snapshot, stale):
    return {"snapshot": xp.where(when, to, snapshot), "stale": xp.where(when, 1.0, stale)}


@update(behind=True, query=at_snapshot, eval=eval_at_snapshot, snapshot=copy, mean=copy, stale=stale)
def snapshot_every(p, snapshot, mean, stale, t, *, every: count, iterate: Literal["last", "average"] = "last"):
    """Move the snapshot to the parameter after every so many steps: help("samestep.modifiers.variance_reduced").

    Args:
        every: how many; twice the number of batches in all data is usual.
        iterate: what it moves to, "last"; "average": the mean of the parameters after each of these steps, and the
            parameter moves there too. Slot `mean`.

    It takes the parameter as the parts before it leave it: write it last. `eval_params` gives the snapshot.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.adam(1e-3), ss.snapshot_every(every=100)).chains[0].second
    True
    """
    xp = array_namespace(p)
    moved = t % every == 0
    if iterate == "last":
        return _moved(xp, moved, p, snapshot, stale)
    mean = mean + (p - mean) / ((t - 1) % every + 1)
    return {"p": xp.where(moved, mean, p), "mean": mean} | _moved(xp, moved, mean, snapshot, stale)


@update(behind=True, query=at_snapshot, eval=eval_at_snapshot, snapshot=copy, chosen=copy, stale=stale, coin=given)
def snapshot_at_random(p, start, snapshot, chosen, stale, coin, t, *, every: count):
    """Move the snapshot to where a drawn step of so many began: help("samestep.modifiers.variance_reduced").

    Args:
        every: how many.

    The step that the caller draws has `step(..., coin=True)`, the others False; of two the later one is it, of none the
    first. The parameter moves there, too. Write it last. Slot `chosen`; `eval_params` gives the snapshot.

    >>> import samestep as ss
    >>> parts = ss.variance_reduced(), ss.descend(0.1), ss.snapshot_at_random(every=9)
    >>> ss.chain(*parts) == ss.svrg(0.1, every=9, iterate="random")
    True
    """
    xp = array_namespace(p)
    moved, chosen = t % every == 0, xp.where(coin != 0, start, chosen)
    return {"p": xp.where(moved, chosen, p), "chosen": chosen} | _moved(xp, moved, chosen, snapshot, stale)


@update(query=at_snapshot, snapshot=copy, stale=stale, coin=given)
def snapshot_by_coin(p, snapshot, stale, coin):
    """Move the snapshot to the parameter where `step(..., coin=True)`: help("samestep.modifiers.variance_reduced").

    It takes the parameter as it is there: write it before `descend` for the one before the step.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.snapshot_by_coin(), ss.descend(0.1)) == ss.l_svrg(0.1)
    True
    """
    xp = array_namespace(p)
    return _moved(xp, coin != 0, p, snapshot, stale)
