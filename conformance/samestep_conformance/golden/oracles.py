"""The same cases in other people's libraries: constructor calls as data, and one runner per kind of library.

The frameworks are imported when a case runs. All of it is float64, one operation at a time (no jit, no foreach); Vowpal
Wabbit alone has float32.
"""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module, util
from importlib.metadata import version
from pkgutil import resolve_name
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from .problem import STEPS, Leaves, Posed, Schedule


@dataclass(frozen=True)
class Named:
    """Something in another library, found when it is needed and written out in the record."""

    path: str

    def __call__(self) -> Any:
        return resolve_name(self.path)

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Call(Named):
    """A call of it."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self, *first: Any) -> Any:
        args = [_made(x) for x in self.args]
        return resolve_name(self.path)(*first, *args, **{name: _made(x) for name, x in self.kwargs.items()})

    def __str__(self) -> str:
        parts = [_written(x) for x in self.args] + [f"{name}={_written(x)}" for name, x in self.kwargs.items()]
        return f"{self.path}({', '.join(parts)})"


def _made(x: Any) -> Any:
    return x() if isinstance(x, Named) else x


def _written(x: Any) -> str:
    return str(x) if isinstance(x, Named) else getattr(x, "__qualname__", repr(x))


@dataclass(frozen=True)
class Oracle:
    """The other library's optimizer, one for all leaves or one per leaf.

    `lr` is set before each step where the class takes no schedule, and so is all that `driven` gives: a class whose
    numbers are set anew in every step is an oracle for rules that no package has. `patches` replace one attribute by
    another.
    `evaluated`: what is compared is where the library evaluates (`eval_params`), not where it takes gradients.
    """

    calls: Call | dict[str, Call]
    lr: Schedule | None = None
    patches: dict[str, str] = field(default_factory=dict)
    evaluated: bool = False
    driven: Callable[[int], dict[str, Any]] | None = None  # count of steps before -> arguments by the class's names

    @property
    def library(self) -> str:
        call = self.calls if isinstance(self.calls, Call) else next(iter(self.calls.values()))
        return call.path.split(".")[0]

    def run(self, problem: Posed) -> list[Leaves]:
        """The params after each step, or those to evaluate at."""
        steps = []
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, of each other
            for target, replacement in self.patches.items():
                stack.enter_context(patch(target, resolve_name(replacement)))
            params = problem.params()
            advance = _RUNNERS.get(self.library, _torch)(self, params, stack)
            for t in range(1, STEPS + 1):
                found = advance(problem.gradient(params, t), t - 1)
                params, shown = found if self.evaluated else (found, found)
                steps.append(shown)
        return steps

    def described(self) -> dict[str, Any]:
        """What was called, in words."""
        calls = self.calls
        return {
            "oracle": str(calls) if isinstance(calls, Call) else {leaf: str(call) for leaf, call in calls.items()},
            **({"lr of each step": _written(self.lr)} if self.lr else {}),
            **({"set before each step": _written(self.driven)} if self.driven else {}),
            **({"patched": self.patches} if self.patches else {}),
            **({"compared": "where it evaluates"} if self.evaluated else {}),
        }

    def settings(self, count: int, lr_name: str) -> dict[str, Any]:
        """What is set before the step that `count` steps precede."""
        return {
            **({lr_name: self.lr(count)} if self.lr else {}),
            **(self.driven(count) if self.driven else {}),
        }

    def versions(self) -> dict[str, str]:
        engines = {"optax": ["jax"], "keras": ["jax"], "vowpalwabbit": []}.get(self.library, ["torch"])
        distribution = {"adopt": "torch-adopt", "optimi": "torch-optimi"}.get(self.library, self.library)
        return {name: version(name) for name in dict.fromkeys([distribution, *engines, "numpy"])}


def available(library: str) -> bool:
    """Whether the library can be imported here; prepares the import of those that need it."""
    if library in sys.modules:
        return True
    if library == "keras":
        os.environ.setdefault("KERAS_BACKEND", "jax")
    spec = util.find_spec(library)
    if library == "timm" and spec:
        # timm and timm.optim import its models, and those a torchvision that goes with this very torch; the files of
        # timm.optim need neither
        for name, folder in {"timm": "", "timm.optim": "optim"}.items():
            stub = sys.modules.setdefault(name, ModuleType(name))
            stub.__path__ = [os.path.join(place, folder) for place in spec.submodule_search_locations or ()]
            stub.__getattr__ = _in_a_file_of_its_name  # type: ignore[method-assign]
    return spec is not None


def _in_a_file_of_its_name(name: str) -> Any:
    """A class of timm.optim: Adan is in adan.py."""
    try:
        return getattr(import_module(f"timm.optim.{name.lower()}"), name)
    except ModuleNotFoundError:
        raise AttributeError(name) from None


# gradients and the count of steps before -> params; with `evaluated` a pair, those and where to evaluate
Advance = Callable[[Leaves, int], Any]


def _torch(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    import torch

    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in it
    leaves = {leaf: torch.tensor(p, requires_grad=True) for leaf, p in params.items()}
    if isinstance(oracle.calls, Call):
        optimizers = [oracle.calls(list(leaves.values()))]
    else:
        optimizers = [call([leaves[leaf]]) for leaf, call in oracle.calls.items()]

    def switched(mode: str) -> Leaves:
        """The params as some classes have them in this mode, "train" or "eval"."""
        for optimizer in optimizers:
            getattr(optimizer, mode, lambda: None)()
        return {leaf: p.detach().numpy().copy() for leaf, p in leaves.items()}

    def advance(grads: Leaves, count: int) -> Any:
        for leaf, g in grads.items():
            leaves[leaf].grad = torch.from_numpy(g)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group.update(oracle.settings(count, "lr"))
            optimizer.step()
        shown = switched("eval") if oracle.evaluated else None
        return (switched("train"), shown) if oracle.evaluated else switched("train")

    switched("train")
    return advance


def _optax(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    import jax
    import optax

    assert isinstance(oracle.calls, Call)
    assert not oracle.driven, "optax takes schedules"
    stack.enter_context(jax.enable_x64(True))
    stack.enter_context(jax.disable_jit())
    optimizer = oracle.calls()
    tree = jax.tree.map(jax.numpy.asarray, params)
    if oracle.calls.path == "optax.lookahead":
        tree = optax.LookaheadParams.init_synced(tree)
    state = optimizer.init(tree)

    def advance(grads: Leaves, count: int) -> Leaves:
        nonlocal tree, state
        updates, state = optimizer.update(jax.tree.map(jax.numpy.asarray, grads), state, tree)
        tree = optax.apply_updates(tree, updates)
        return {leaf: np.array(p) for leaf, p in getattr(tree, "fast", tree).items()}

    return advance


def _keras(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    import jax
    import keras

    assert isinstance(oracle.calls, Call)
    assert keras.backend.backend() != "numpy", "that one computes in float32 whatever it is told"
    stack.enter_context(jax.enable_x64(True))
    stack.callback(keras.config.set_floatx, keras.config.floatx())
    keras.config.set_floatx("float64")
    optimizer = oracle.calls()
    variables = {leaf: keras.Variable(p, dtype="float64") for leaf, p in params.items()}
    optimizer.build(list(variables.values()))

    def advance(grads: Leaves, count: int) -> Leaves:
        for name, value in oracle.settings(count, "learning_rate").items():
            setattr(optimizer, name, value)
        optimizer.apply([keras.ops.convert_to_tensor(grads[leaf]) for leaf in variables])
        return {leaf: np.array(keras.ops.convert_to_numpy(v.value)) for leaf, v in variables.items()}

    return advance


def _vowpalwabbit(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    """A linear model with a feature for each coordinate, and an example for each gradient.

    Below its margin the slope of the hinge loss is 1, so the weight of the example is the gradient; the feature is
    small, so that no prediction comes near the margin.
    """
    assert isinstance(oracle.calls, Call)
    model, small = oracle.calls(), 2.0**-10
    stack.callback(model.finish)
    places = {leaf: place for place, leaf in enumerate(params)}
    at = {leaf: [64 * places[leaf] + i for i in range(p.size)] for leaf, p in params.items()}
    for leaf, p in params.items():
        for place, x in zip(at[leaf], p.flat, strict=True):
            model.set_weight(place, 0, x)

    def advance(grads: Leaves, count: int) -> Leaves:
        for leaf, g in grads.items():
            for place, x in zip(at[leaf], g.flat, strict=True):
                weight = max(abs(float(x)), 1e-30) / small  # of 0 it would not be learned; this adds nothing either
                model.learn(f"{-1 if x > 0 else 1} {weight} | {place}:{small}")
        return {leaf: np.array([model.get_weight(i) for i in at[leaf]]).reshape(p.shape) for leaf, p in params.items()}

    return advance


_RUNNERS: dict[str, Callable[[Oracle, Leaves, ExitStack], Advance]] = {
    "optax": _optax,
    "keras": _keras,
    "vowpalwabbit": _vowpalwabbit,
}


def power(exponent: float, shift: int = 0) -> Callable[[int], float]:
    """ADOPT's clip as a function of its step."""

    def clip(step: int) -> float:
        return float((step - shift) ** exponent)

    clip.__qualname__ = f"power({exponent}, shift={shift})"
    return clip


def call(path: str, *args: Any, **kwargs: Any) -> Call:
    return Call(path, args, kwargs)


def maker(prefix: str, lr_name: str = "lr", **common: Any) -> Callable[..., Oracle]:
    """Oracles from one module of classes that take a number as lr; a schedule is driven, and `driven` sets the rest."""

    def oracle(
        name: str,
        lr: float | Schedule,
        *,
        driven: Callable[[int], dict[str, Any]] | None = None,
        evaluated: bool = False,
        **kwargs: Any,
    ) -> Oracle:
        called = call(f"{prefix}.{name}", **{lr_name: lr(0) if callable(lr) else lr}, **kwargs, **common)
        return Oracle(called, lr if callable(lr) else None, evaluated=evaluated, driven=driven)

    return oracle


# some of their numbers are of float32 whatever the params are: the oracles named so have these patches
FLOAT64 = {
    "optax": {"jax.numpy.float32": "jax.numpy.float64"},
    "keras": {"keras.src.backend.jax.numpy.dtypes.result_type": "jax.numpy.result_type"},
}


def optax(name: str, *args: Any, **kwargs: Any) -> Oracle:
    return Oracle(call(f"optax.{name}", *args, **kwargs))


torch, po = maker("torch.optim", foreach=False), maker("pytorch_optimizer", foreach=False)
timm, keras = maker("timm.optim"), maker("keras.optimizers", "learning_rate")
lion, c_lion, adopt, optimi = (maker(p) for p in ("lion_pytorch", "lion_pytorch.cautious_lion", "adopt", "optimi"))
