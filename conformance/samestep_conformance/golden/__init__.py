"""Trajectories computed by code that is not ours.

`problem` gives the gradients, `cases` says how each case is written with samestep, `oracles` how with another library,
and `make` records what that library did, in one JSON file per case.
"""
