"""One vocabulary for what libraries call by many names: the entries of a state, and the hyperparameters."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Leaves = dict[str, np.ndarray]

ENTRIES = {  # the entries of a state, under the names of our pages
    **dict.fromkeys(["exp_avg", "mu", "momentum", "momentum_buffer", "trace", "momentums"], "m"),
    **dict.fromkeys(["exp_avg_sq", "nu", "velocity", "velocities", "square_avg"], "v"),
    **dict.fromkeys(["max_exp_avg_sq", "max_exp_avg_sqs", "nu_max", "velocity_hat"], "v_max"),
    **dict.fromkeys(["grad_avg", "average_gradient"], "mean"),
    **dict.fromkeys(["sum", "sum_of_squares", "accumulator"], "n"),
    "exp_avg_diff": "d",
}
DIFFERENCES = {"v": "d", "exp_avg_sq": "n", "g": "g_prev"}  # in a state that also keeps a mean of differences

NUMBERS = {  # hyperparameters, under the names of our constructors
    "learning_rate": "lr",
    "b1": "beta1",
    "b2": "beta2",
    "b3": "beta3",
    "beta_1": "beta1",
    "beta_2": "beta2",
    "epsilon": "eps",
    "alpha": "rho",
    "decay": "rho",
    "momentum_decay": "psi",
    "initial_accumulator_value": "initial_accumulator",
    "initial_scale": "initial_accumulator",
    "wd": "weight_decay",
    "mu": "momentum",
}


def entries(state: Any, params: Leaves) -> dict[str, Leaves]:
    """Every part of a state that is nested and shaped as the params, by name; equal names are counted."""
    found: dict[str, Leaves] = {}
    raw = list(_walk(state, "state", params))
    differences = {"exp_avg_diff", "n"} & {name for name, _ in raw} and {"exp_avg_diff", "g"} & {n for n, _ in raw}
    for name, leaves in raw:
        name = DIFFERENCES.get(name) or ENTRIES.get(name, name) if differences else ENTRIES.get(name, name)
        key, count = name, 1
        while key in found:
            count += 1
            key = f"{name} {count}"
        found[key] = leaves
    return found


def _walk(node: Any, name: str, params: Leaves, above: tuple[int, ...] = ()) -> Iterator[tuple[str, Leaves]]:
    if id(node) in above:  # a state may refer to itself
        return
    above = (*above, id(node))
    if isinstance(node, Mapping):
        if node.keys() == params.keys():
            arrays = {leaf: np.array(x) for leaf, x in node.items() if hasattr(x, "dtype")}
            if arrays.keys() == params.keys() and all(arrays[k].shape == p.shape for k, p in params.items()):
                yield name, arrays
            return
        for key, value in node.items():
            yield from _walk(value, str(key), params, above)
    elif hasattr(node, "_fields"):
        for key in node._fields:
            yield from _walk(getattr(node, key), key, params, above)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _walk(value, name, params, above)
    elif hasattr(node, "__dict__") and not hasattr(node, "dtype"):
        yield from _walk(vars(node), name, params, above)


def declared(source: Any) -> dict[str, Any]:
    """The numbers, words and switches that an optimizer tells of, under our names.

    `source` is a dict of them, or an object: its attributes and what its step was closed over, or written with.
    """
    given = source if isinstance(source, Mapping) else _told(source)
    found: dict[str, Any] = {}
    for key, value in given.items():
        if key == "betas" and isinstance(value, tuple | list):
            found |= {f"beta{i}": float(b) for i, b in enumerate(value, 1) if isinstance(b, int | float)}
        elif isinstance(value, bool | str):
            found[NUMBERS.get(key, key)] = value
        elif isinstance(value, int | float):
            found[NUMBERS.get(key, key)] = float(value)
        elif value is None and key in ("momentum", "weight_decay"):
            found[key] = 0.0
    return found


def _told(source: Any) -> dict[str, Any]:
    if hasattr(source, "hyperparameters") and hasattr(source, "chains"):
        return _ours(source)
    found: dict[str, Any] = {}
    for name in ("init", "step"):
        function = getattr(source, name, None)
        function = getattr(function, "__func__", function)
        if inspect.isfunction(function):
            found |= inspect.getclosurevars(function).nonlocals
            found |= {p.name: p.default for p in inspect.signature(function).parameters.values()}
    found |= {k: v for k, v in vars(type(source)).items() if not k.startswith("_")}
    found |= getattr(source, "__dict__", {})
    return {k.lstrip("_"): v for k, v in found.items()}


def _ours(optimizer: Any) -> dict[str, Any]:
    chains = [chain for chain in optimizer.chains if chain is not None]
    found = {name: value for chain in chains for part in chain.parts for name, value in part.values}
    return {name: value(0) if callable(value) else value for name, value in found.items()}
