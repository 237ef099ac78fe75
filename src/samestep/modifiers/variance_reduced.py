"""Variance reduction: a gradient of a batch, corrected by what that batch says at a snapshot.

Johnson, Zhang, "Accelerating Stochastic Gradient Descent using Predictive Variance Reduction", 2013,
https://papers.nips.cc/paper/4937-accelerating-stochastic-gradient-descent-using-predictive-variance-reduction.

    u <- g_batch(x) - g_batch(snapshot) + g_full(snapshot)
"""

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


@update(query=at_snapshot, eval=eval_at_snapshot, snapshot=copy, stale=stale)
def snapshot_every(p, snapshot, stale, t, *, every: count):
    """Move the snapshot to the parameter after every so many steps: help("samestep.modifiers.variance_reduced").

    Args:
        every: how many; twice the number of batches in all data is usual.

    It takes the parameter as the parts before it leave it: write it last. `eval_params` gives the snapshot.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.adam(1e-3), ss.snapshot_every(every=100)).chains[0].second
    True
    """
    xp = array_namespace(p)
    moved = t % every == 0
    return {"snapshot": xp.where(moved, p, snapshot), "stale": xp.where(moved, 1.0, stale)}


@update(query=at_snapshot, snapshot=copy, stale=stale, coin=given)
def snapshot_by_coin(p, snapshot, stale, coin):
    """Move the snapshot to the parameter where `step(..., coin=True)`: help("samestep.modifiers.variance_reduced").

    It takes the parameter as it is there: write it before `descend` for the one before the step.

    >>> import samestep as ss
    >>> ss.chain(ss.variance_reduced(), ss.snapshot_by_coin(), ss.descend(0.1)) == ss.l_svrg(0.1)
    True
    """
    xp = array_namespace(p)
    return {"snapshot": xp.where(coin != 0, p, snapshot), "stale": xp.where(coin != 0, 1.0, stale)}
