"""Other libraries' optimizers under one contract: NumPy params and gradients in, NumPy params and named state out."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

import samestep as ss

from .bits import FAILURES
from .feeding import taken, wants_more
from .naming import declared, entries
from .specs import Spec, SpecError, called, parse

Leaves = dict[str, np.ndarray]
Schedule = Callable[[int], float]
Gradient = Callable[[str, Leaves], Leaves]


class Subject:
    """One side of a comparison: anything with `init(params)` and `step(params, grads, state)`.

    `label` is how it was written, `numbers` are the hyperparameters that it tells of, under our names.
    """

    def __init__(self, optimizer: Any, label: str, lr: Schedule | None) -> None:
        self.optimizer, self.label, self.lr = optimizer, label, lr
        self.numbers = declared(optimizer)
        if lr is not None and not self._takes_lr():
            raise SpecError(
                f"a changing learning rate needs a step(params, grads, state, lr=...); {label} has none: "
                "let it change its own, and leave lr out"
            )

    def _takes_lr(self) -> bool:
        parameters = inspect.signature(self.optimizer.step).parameters.values()
        return any(p.name == "lr" or p.kind is p.VAR_KEYWORD for p in parameters)

    @contextmanager
    def settings(self) -> Iterator[None]:
        """What its library must be set to while it runs; ours is evaluated, not compiled."""
        with ss.use_backend("numpy"):
            yield

    def init(self, params: Leaves) -> Any:
        """The state of these params."""
        return self.optimizer.init(params)

    def step(self, params: Leaves, grads: Leaves, state: Any, count: int) -> tuple[Leaves, Any]:
        """The params and the state after one step; `count` steps were taken before."""
        extra = {} if self.lr is None else {"lr": self.lr(count)}
        return self.optimizer.step(params, grads, state, **extra)

    def fed(self, params: Leaves, gradient: Gradient, state: Any, count: int) -> tuple[Leaves, Any]:
        """The same, every gradient asked for where it is wanted: `gradient(name, at)`."""
        if not wants_more(getattr(self, "optimizer", None)):
            return self.step(params, gradient("x", params), state, count)
        extra = {} if self.lr is None else {"lr": self.lr(count)}
        return taken(self.optimizer, params, state, gradient, **extra)

    def entries(self, state: Any, params: Leaves) -> dict[str, Leaves]:
        """What the state keeps in the shape of the params, under the names of our pages."""
        return entries(state, params)


class Torch(Subject):
    """A class in the manner of torch.optim, made when its params are known."""

    def __init__(self, make: Callable[[list], Any], label: str, lr: Schedule | None, dtype: str) -> None:
        import torch

        self.make, self.label, self.lr, self.torch, self.dtype = make, label, lr, torch, dtype
        with self.settings():
            self.numbers = declared(make([torch.zeros((2, 2), requires_grad=True)]).defaults)

    @contextmanager
    def settings(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            stack.callback(self.torch.set_default_dtype, self.torch.get_default_dtype())
            self.torch.set_default_dtype(getattr(self.torch, self.dtype))  # NAdam keeps its product of momenta in it
            yield

    def init(self, params: Leaves) -> Any:
        leaves = {leaf: self.torch.tensor(p, requires_grad=True) for leaf, p in params.items()}
        return self.make(list(leaves.values())), leaves

    def step(self, params: Leaves, grads: Leaves, state: Any, count: int) -> tuple[Leaves, Any]:
        optimizer, leaves = state
        for leaf, tensor in leaves.items():
            tensor.grad = self.torch.tensor(grads[leaf])
        if self.lr is not None:
            for group in optimizer.param_groups:
                group["lr"] = self.lr(count)
        optimizer.step()
        return {leaf: tensor.detach().numpy().copy() for leaf, tensor in leaves.items()}, state

    def entries(self, state: Any, params: Leaves) -> dict[str, Leaves]:
        optimizer, leaves = state
        found: dict[str, Leaves] = {}
        for leaf, tensor in leaves.items():
            for name, value in optimizer.state.get(tensor, {}).items():
                if self.torch.is_tensor(value) and value.shape == tensor.shape:
                    found.setdefault(name, {})[leaf] = value.detach().numpy().copy()
        return entries(found, params)


class Optax(Subject):
    """A gradient transformation, run one operation at a time."""

    def __init__(self, transformation: Any, label: str, lr: Schedule | None, dtype: str, numbers: dict) -> None:
        self.optimizer, self.label, self.lr, self.dtype = transformation, label, lr, dtype
        self.numbers = declared(numbers)

    @contextmanager
    def settings(self) -> Iterator[None]:
        with _jax(self.dtype, eager=True):
            yield

    def init(self, params: Leaves) -> Any:
        import jax

        return self.optimizer.init(jax.tree.map(jax.numpy.asarray, params))

    def step(self, params: Leaves, grads: Leaves, state: Any, count: int) -> tuple[Leaves, Any]:
        import jax
        import optax

        tree, grads = (jax.tree.map(jax.numpy.asarray, x) for x in (params, grads))
        updates, state = self.optimizer.update(grads, state, tree)
        return {leaf: np.array(p) for leaf, p in optax.apply_updates(tree, updates).items()}, state


class Keras(Subject):
    """A Keras optimizer, on whichever backend Keras runs."""

    def __init__(self, make: Callable[[], Any], label: str, lr: Schedule | None, dtype: str) -> None:
        import keras

        self.make, self.label, self.lr, self.dtype, self.keras = make, label, lr, dtype, keras
        if keras.backend.backend() == "numpy":
            raise SpecError(
                "Keras on its numpy backend computes in float32 whatever it is told: set KERAS_BACKEND=jax or torch "
                f"before keras is imported; got {label}"
            )
        with self.settings():
            self.numbers = declared(make().get_config())

    @contextmanager
    def settings(self) -> Iterator[None]:
        with ExitStack() as stack:
            stack.enter_context(_quiet())
            if self.keras.backend.backend() == "jax":
                stack.enter_context(_jax(self.dtype, eager=False))
            stack.callback(self.keras.config.set_floatx, self.keras.config.floatx())
            self.keras.config.set_floatx(self.dtype)  # the learning rate is kept in it
            yield

    def init(self, params: Leaves) -> Any:
        named = enumerate(params.items())
        leaves = {leaf: self.keras.Variable(p, dtype=self.dtype, name=f"leaf{i}") for i, (leaf, p) in named}
        optimizer = self.make()
        optimizer.build(list(leaves.values()))
        return optimizer, leaves

    def step(self, params: Leaves, grads: Leaves, state: Any, count: int) -> tuple[Leaves, Any]:
        optimizer, leaves = state
        if self.lr is not None:
            optimizer.learning_rate = self.lr(count)
        optimizer.apply([self.keras.ops.convert_to_tensor(grads[leaf]) for leaf in leaves])
        return {leaf: self._numpy(v) for leaf, v in leaves.items()}, state

    def entries(self, state: Any, params: Leaves) -> dict[str, Leaves]:
        optimizer, leaves = state
        found: dict[str, Leaves] = {}
        for leaf, variable in leaves.items():
            for each in optimizer.variables:
                if each.name.startswith(f"{variable.name}_"):
                    found.setdefault(each.name.removeprefix(f"{variable.name}_"), {})[leaf] = self._numpy(each)
        return entries(found, params)

    def _numpy(self, variable: Any) -> np.ndarray:
        return np.array(self.keras.ops.convert_to_numpy(variable.value))


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # theirs, of their own code
        yield


@contextmanager
def _jax(dtype: str, eager: bool) -> Iterator[None]:
    import jax

    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(jax.enable_x64(dtype == "float64"))
        if eager:
            stack.enter_context(jax.disable_jit())
        yield


def subject(given: Any, dtype: str, lr: Schedule | None) -> Subject:
    """Whatever `compare` takes, as a subject.

    Raises:
        SpecError: it is none of them.
    """
    if isinstance(given, str):
        return _written(parse(given), dtype, lr)
    if hasattr(given, "init") and hasattr(given, "step"):
        return Subject(given, _label(given), lr)
    if hasattr(given, "init") and hasattr(given, "update"):
        if lr is not None:
            raise SpecError(
                "a changing learning rate cannot be set in an optax transformation that is made already: write it as "
                "text, 'optax:sgd(0.1)', or make it with the schedule and leave lr out"
            )
        return Optax(given, "an optax transformation", lr, dtype, {})
    if hasattr(given, "get_config") and hasattr(given, "apply"):
        with _quiet():
            make = functools.partial(type(given).from_config, given.get_config())
        return Keras(make, f"keras:{type(given).__name__}", lr, dtype)
    raise SpecError(
        "compare takes text such as 'torch:AdamW(lr=1e-3)', an object with init(params) and step(params, grads, "
        f"state), an optax transformation or a Keras optimizer; got {given!r:.80}"
    )


def _label(given: Any) -> str:
    return repr(given) if isinstance(given, ss.Optimizer) else getattr(given, "__name__", type(given).__name__)


def _written(spec: Spec, dtype: str, lr: Schedule | None) -> Subject:
    target, rest = spec.target(), (spec.text, lr, dtype)
    if hasattr(target, "pages"):  # a named constructor of ours, or made as ours are
        return Subject(called(spec, target), spec.text, lr)
    if isinstance(target, type) and hasattr(target, "step") and hasattr(target, "zero_grad"):
        return _checked(spec, lambda: Torch(lambda leaves: target(leaves, *spec.args, **spec.kwargs), *rest))
    if isinstance(target, type) and hasattr(target, "get_config") and hasattr(target, "apply_gradients"):
        return _checked(spec, lambda: Keras(lambda: target(*spec.args, **spec.kwargs), *rest))
    if isinstance(target, type) and hasattr(target, "init") and hasattr(target, "step"):
        return Subject(called(spec, target), spec.text, lr)
    if _transforms(target):
        return _transformation(spec, target, dtype, lr)
    raise SpecError(
        f"{spec.text!r} is no optimizer: nothing else is called than a class with init and step, or of torch or Keras, "
        "or a function that returns a GradientTransformation"
    )


def _transforms(target: Any) -> bool:
    """Whether it is a function that says it returns an optax transformation."""
    function = getattr(target, "func", target)  # optax has partials
    returned = getattr(function, "__annotations__", {}).get("return", "")
    return inspect.isroutine(function) and "GradientTransformation" in str(getattr(returned, "__name__", returned))


def _transformation(spec: Spec, target: Any, dtype: str, lr: Schedule | None) -> Subject:
    signature = inspect.signature(target)
    more: dict[str, Any] = {}
    if lr is not None:
        if "learning_rate" not in signature.parameters:
            raise SpecError(f"a changing learning rate needs a learning_rate; {spec.text!r} takes none: leave lr out")
        more = {"learning_rate": lambda count: lr(int(count))}
        position = list(signature.parameters).index("learning_rate")
        if len(spec.args) > position:
            args = *spec.args[:position], more.pop("learning_rate"), *spec.args[position + 1 :]
            spec = Spec(spec.library, spec.name, args, spec.kwargs, spec.text)
    with _jax(dtype, eager=True):
        made = called(spec, target, **more)
    bound = signature.bind(*spec.args, **spec.kwargs | more)
    bound.apply_defaults()
    return Optax(made, spec.text, lr, dtype, bound.arguments)


def _checked(spec: Spec, make: Callable[[], Subject]) -> Subject:
    try:
        return make()
    except SpecError:
        raise
    except FAILURES as error:
        raise SpecError(f"{spec.text!r} is refused by {spec.name}: {error}") from error
