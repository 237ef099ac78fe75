"""The same cases in other people's libraries: constructor calls as data, and one runner per kind of library.

The frameworks are imported when a case runs. All of it is float64, one operation at a time (no jit, no foreach).
"""

import os
import sys
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module, util
from importlib.metadata import version
from math import sqrt
from pkgutil import resolve_name
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np

from .problem import STEPS, Leaves, Problem, Schedule, wave


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

    `lr` is set before each step where the class takes no schedule. `patches` replace one attribute by another.
    """

    calls: Call | dict[str, Call]
    lr: Schedule | None = None
    patches: dict[str, str] = field(default_factory=dict)

    @property
    def library(self) -> str:
        call = self.calls if isinstance(self.calls, Call) else next(iter(self.calls.values()))
        return call.path.split(".")[0]

    def run(self, problem: Problem) -> list[Leaves]:
        """The params after each step."""
        steps = []
        with ExitStack() as stack, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # theirs, of each other
            for target, replacement in self.patches.items():
                stack.enter_context(patch(target, resolve_name(replacement)))
            params = problem.params()
            advance = _RUNNERS.get(self.library, _torch)(self, params, stack)
            for t in range(1, STEPS + 1):
                params = advance(problem.gradient(params, t), t - 1)
                steps.append(params)
        return steps

    def described(self) -> dict[str, Any]:
        """What was called, in words."""
        calls = self.calls
        return {
            "oracle": str(calls) if isinstance(calls, Call) else {leaf: str(call) for leaf, call in calls.items()},
            **({"lr of each step": _written(self.lr)} if self.lr else {}),
            **({"patched": self.patches} if self.patches else {}),
        }

    def versions(self) -> dict[str, str]:
        engine = "jax" if self.library in ("optax", "keras") else "torch"
        distribution = {"adopt": "torch-adopt", "optimi": "torch-optimi"}.get(self.library, self.library)
        return {name: version(name) for name in dict.fromkeys([distribution, engine, "numpy"])}


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


Advance = Callable[[Leaves, int], Leaves]  # gradients and the count of steps before -> params


def _torch(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    import torch

    stack.callback(torch.set_default_dtype, torch.get_default_dtype())
    torch.set_default_dtype(torch.float64)  # NAdam keeps its product of momenta in it
    leaves = {leaf: torch.tensor(p, requires_grad=True) for leaf, p in params.items()}
    if isinstance(oracle.calls, Call):
        optimizers = [oracle.calls(list(leaves.values()))]
    else:
        optimizers = [call([leaves[leaf]]) for leaf, call in oracle.calls.items()]

    def advance(grads: Leaves, count: int) -> Leaves:
        for leaf, g in grads.items():
            leaves[leaf].grad = torch.from_numpy(g)
        for optimizer in optimizers:
            if oracle.lr:
                for group in optimizer.param_groups:
                    group["lr"] = oracle.lr(count)
            optimizer.step()
        return {leaf: p.detach().numpy().copy() for leaf, p in leaves.items()}

    return advance


def _optax(oracle: Oracle, params: Leaves, stack: ExitStack) -> Advance:
    import jax
    import optax

    assert isinstance(oracle.calls, Call)
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
        if oracle.lr:
            optimizer.learning_rate = oracle.lr(count)
        optimizer.apply([keras.ops.convert_to_tensor(grads[leaf]) for leaf in variables])
        return {leaf: np.array(keras.ops.convert_to_numpy(v.value)) for leaf, v in variables.items()}

    return advance


_RUNNERS: dict[str, Callable[[Oracle, Leaves, ExitStack], Advance]] = {"optax": _optax, "keras": _keras}


def power(exponent: float, shift: int = 0) -> Callable[[int], float]:
    """ADOPT's clip as a function of its step."""

    def clip(step: int) -> float:
        return float((step - shift) ** exponent)

    clip.__qualname__ = f"power({exponent}, shift={shift})"
    return clip


def call(path: str, *args: Any, **kwargs: Any) -> Call:
    return Call(path, args, kwargs)


def _maker(prefix: str, lr_name: str = "lr", **common: Any) -> Callable[..., Oracle]:
    """Oracles from one module of classes that take a number as lr; a schedule is driven."""

    def oracle(name: str, lr: float | Schedule, **kwargs: Any) -> Oracle:
        first = lr(0) if callable(lr) else lr
        return Oracle(call(f"{prefix}.{name}", **{lr_name: first}, **kwargs, **common), lr if callable(lr) else None)

    return oracle


def optax(name: str, *args: Any, **kwargs: Any) -> Oracle:
    return Oracle(call(f"optax.{name}", *args, **kwargs))


torch, po = _maker("torch.optim", foreach=False), _maker("pytorch_optimizer", foreach=False)
timm, keras = _maker("timm.optim"), _maker("keras.optimizers", "learning_rate")
lion, c_lion, adopt, optimi = (_maker(p) for p in ("lion_pytorch", "lion_pytorch.cautious_lion", "adopt", "optimi"))

_FLOAT64 = {"torch.Tensor.bfloat16": "torch.Tensor.clone"}  # torch's Muon then iterates in its input's precision


def _muon(lr: float | Schedule, **kwargs: Any) -> Oracle:
    first = lr(0) if callable(lr) else lr
    return Oracle(call("torch.optim.Muon", lr=first, **kwargs), lr if callable(lr) else None, _FLOAT64)


def _muon_per_leaf(**rates: float) -> Oracle:
    """Other scales of the step: torch's is sqrt(max(1, rows / cols)), the rest is in the rate of each leaf."""
    calls = {leaf: call("torch.optim.Muon", lr=lr, weight_decay=0.0) for leaf, lr in rates.items()}
    return Oracle(calls, patches=_FLOAT64)


ORACLES = {
    # gradient descent
    "sgd": torch("SGD", 0.02),
    "sgd_momentum": torch("SGD", wave(0.02), momentum=0.9),
    "sgd_coupled": torch("SGD", 0.01, momentum=0.9, weight_decay=0.1),
    "sgd_decoupled": keras("SGD", wave(0.01), momentum=0.9, weight_decay=0.1),
    "sgd_dampening": torch("SGD", 0.02, momentum=0.9, dampening=0.5),
    "sgd_dampening_zero": optax(
        "chain", call("optax.scale", 0.5), call("optax.trace", 0.9), call("optax.scale", -0.02)
    ),
    "sgd_nesterov": torch("SGD", 0.01, momentum=0.9, nesterov=True),
    "sgd_velocity": keras("SGD", wave(0.01), momentum=0.9),
    "sgd_velocity_nesterov": keras("SGD", wave(0.01), momentum=0.9, nesterov=True),
    "sgd_ema": optax("chain", call("optax.ema", 0.9, debias=False), call("optax.scale_by_learning_rate", wave(0.05))),
    # adagrad
    "adagrad": torch("Adagrad", 0.1),
    "adagrad_decay": torch("Adagrad", wave(0.1), lr_decay=0.1, initial_accumulator_value=0.1, weight_decay=0.1),
    "adagrad_inside_optax": optax("adagrad", 0.1, initial_accumulator_value=0.1, eps=1e-7),
    "adagrad_inside_keras": keras("Adagrad", wave(0.1), initial_accumulator_value=0.1, epsilon=1e-3),
    # rmsprop
    "rmsprop": torch("RMSprop", 0.01),
    "rmsprop_momentum": torch("RMSprop", wave(0.01), momentum=0.9, weight_decay=0.1),
    "rmsprop_centered": torch("RMSprop", 0.01, centered=True, momentum=0.9),
    "rmsprop_centered_inside": keras("RMSprop", 0.01, rho=0.9, epsilon=1e-7, centered=True),
    "rmsprop_inside_optax": optax("rmsprop", 0.01, decay=0.9, eps=1e-8),
    "rmsprop_inside_keras": keras("RMSprop", wave(0.01), rho=0.9, epsilon=1e-7),
    "rmsprop_initial": optax("rmsprop", 0.01, decay=0.9, eps=1e-10, initial_scale=1.0),
    "rmsprop_debiased": optax("rmsprop", 0.01, decay=0.9, eps=1e-6, eps_in_sqrt=False, bias_correction=True),
    "rmsprop_debiased_inside": optax("rmsprop", 0.01, decay=0.9, eps=1e-6, bias_correction=True),
    "rmsprop_velocity_optax": optax("rmsprop", wave(0.01), decay=0.9, eps=1e-8, eps_in_sqrt=False, momentum=0.9),
    "rmsprop_velocity_keras": keras("RMSprop", wave(0.01), rho=0.9, epsilon=1e-7, momentum=0.9),
    # adam, adamw
    "adam": torch("Adam", 0.01),
    "adam_schedule": torch("Adam", wave(0.02), betas=(0.8, 0.99), eps=1e-6),
    "adam_coupled": torch("Adam", 0.01, weight_decay=0.1),
    "adam_maximize": torch("Adam", 0.01, weight_decay=0.1, maximize=True),
    "adam_hat": keras("Adam", wave(0.02), epsilon=1e-5),
    "adam_inside": optax("adam", 0.01, eps=0.0, eps_root=1e-6),
    "adam_eps_root": optax("adam", 0.01, eps=1e-5, eps_root=1e-6),
    "adam_biased": timm("lamb.Lamb", 0.01, bias_correction=False, weight_decay=0.0, max_grad_norm=None),
    "adam_amsgrad_post": torch("Adam", 0.01, betas=(0.9, 0.9), amsgrad=True),
    "adam_amsgrad_post_hat": keras("Adam", 0.01, beta_2=0.9, epsilon=1e-5, amsgrad=True),
    "adam_amsgrad_pre": optax("amsgrad", wave(0.02), b2=0.9),
    "adam_amsgrad_paper": optax("amsgrad", 0.01, b2=0.9, bias_correction_mu=False, bias_correction_nu=False),
    "adamw": torch("AdamW", 0.01, weight_decay=0.1),
    "adamw_default": torch("AdamW", 1e-3),
    "adamw_schedule": torch("AdamW", wave(0.02), weight_decay=0.1),
    "adamw_eps_root": optax("adamw", wave(0.02), weight_decay=0.1, eps_root=1e-6),
    "adamw_hat": keras("AdamW", 0.01, epsilon=1e-5, weight_decay=0.1),
    "adamw_amsgrad": torch("AdamW", 0.01, betas=(0.9, 0.9), weight_decay=0.1, amsgrad=True),
    # nadam, radam
    "nadam": torch("NAdam", 0.01),
    "nadam_coupled": torch("NAdam", wave(0.02), momentum_decay=0.01, weight_decay=0.1),
    "nadam_decoupled": torch("NAdam", 0.01, weight_decay=0.1, decoupled_weight_decay=True),
    "nadam_keras": keras("Nadam", 0.01, epsilon=1e-7),
    "nadam_constant": optax("nadam", wave(0.02)),
    "radam": torch("RAdam", 0.01),
    "radam_coupled": torch("RAdam", wave(0.02), betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
    "radam_decoupled": torch("RAdam", wave(0.02), weight_decay=0.1, decoupled_weight_decay=True),
    "radam_outside": optax("radam", wave(0.02), eps=1e-5),
    "radam_threshold": optax("radam", 0.01, threshold=4.0),
    "radam_skip": po("RAdam", 0.1, degenerated_to_sgd=False),
    # lion, adopt, adan
    "lion": lion("Lion", 0.01),
    "lion_decoupled": lion("Lion", wave(0.02), betas=(0.95, 0.98), weight_decay=0.1),
    "lion_independent": po("Lion", wave(0.02), weight_decay=0.01, fixed_decay=True),
    "adopt": adopt("ADOPT", 0.01),
    "adopt_exponent": adopt("ADOPT", wave(0.02), clip_lambda=power(0.1)),
    "adopt_unclipped": adopt("ADOPT", 0.01, betas=(0.9, 0.99), eps=0.01, clip_lambda=None),
    "adopt_coupled": adopt("ADOPT", 0.01, weight_decay=0.1),
    "adopt_decoupled": adopt("ADOPT", 0.01, weight_decay=0.1, decouple=True),
    "adan": po("Adan", 0.01),
    "adan_prox": optimi("Adan", wave(0.02), weight_decay=0.1, foreach=False, triton=False),
    "adan_root": optax("adan", wave(0.02), eps_root=1e-6, weight_decay=0.1),
    "adan_no_prox": po("Adan", 0.01, weight_decay=0.1, weight_decouple=True),
    # ftrl; without L1 and from z0="prox" it is AdaGrad with eps = beta
    "ftrl": po("FTRL", 0.1),
    "ftrl_prox": torch("Adagrad", 0.1, eps=1.0, initial_accumulator_value=0.1),
    "ftrl_schedule": torch("Adagrad", wave(0.1), eps=1.0),
    "ftrl_framework_sigma": po("FTRL", wave(0.1), beta=1.0),
    "ftrl_l1_l2": po("FTRL", 0.1, beta=1.0, lambda_1=0.5, lambda_2=0.1),
    "ftrl_shrinkage": keras(
        "Ftrl",
        0.1,
        beta=0.5,
        l1_regularization_strength=0.1,
        l2_regularization_strength=0.1,
        l2_shrinkage_regularization_strength=0.01,
    ),
    "ftrl_lr_power": keras("Ftrl", 0.1, learning_rate_power=-0.7),
    # cautious
    "adamw_cautious": timm("adamw.AdamWLegacy", 0.01, weight_decay=0.1, caution=True, foreach=False),
    "adamw_cautious_count": po(
        "AdEMAMix", wave(0.02), alpha=0.0, weight_decay=0.1, weight_decouple=True, cautious=True
    ),
    "lion_cautious": c_lion("Lion", 0.01, weight_decay=0.1),
    "lion_cautious_count": po("Lion", 0.01, betas=(0.95, 0.98), weight_decay=0.1, cautious=True),
    "adopt_cautious": timm("adopt.Adopt", 0.01, clip_exp=0.25, caution=True, foreach=False),
    "adopt_cautious_count": po("ADOPT", 0.01, clip_lambda=power(0.25, shift=1), cautious=True),
    "adan_cautious": timm("adan.Adan", 0.01, betas=(0.98, 0.0, 0.99), caution=True, foreach=False),
    "sgd_cautious": timm("sgdw.SGDW", 0.01, momentum=0.9, weight_decay=0.0, caution=True, foreach=False),
    "sgd_nesterov_cautious": timm(
        "sgdw.SGDW", 0.01, momentum=0.9, weight_decay=0.0, nesterov=True, caution=True, foreach=False
    ),
    "rmsprop_cautious": timm(
        "rmsprop_tf.RMSpropTF", wave(0.02), momentum=0.9, lr_in_momentum=False, caution=True, foreach=False
    ),
    "lamb_cautious": timm("lamb.Lamb", 0.01, weight_decay=0.1, max_grad_norm=None, caution=True, foreach=False),
    # norms, factors, matrices
    "lamb": optax("lamb", 0.01),
    "lamb_decay": optax("lamb", wave(0.02), weight_decay=0.1),
    "lamb_clipped": timm("lamb.Lamb", 0.01, weight_decay=0.1, bias_correction=False, foreach=False),
    "trust_ratio": optax(
        "chain",
        call("optax.scale_by_trust_ratio", min_norm=1.0, trust_coefficient=0.5, eps=0.1),
        call("optax.scale", -0.1),
    ),
    "dog": optax("contrib.dog"),
    "dog_reps": optax("contrib.dog", wave(1.0), ("heuristic", 0.01), weight_decay=0.1),
    "adafactor": po("AdaFactor", 1.0, betas=(None, 0.999)),
    "adafactor_momentum": timm(
        "adafactor.Adafactor", None, min_dim_size_to_factor=0, betas=(0.9, 0.999), weight_decay=0.1
    ),
    "adafactor_warmup": po("AdaFactor", 1.0, betas=(None, 0.999), warmup_init=True),
    "adafactor_absolute": timm("adafactor.Adafactor", wave(0.05), min_dim_size_to_factor=0),
    "adafactor_scaled": po(
        "AdaFactor", wave(0.1), betas=(None, 0.999), relative_step=False, decay_rate=-0.6, clip_threshold=0.5
    ),
    "adafactor_cautious": timm("adafactor.Adafactor", None, min_dim_size_to_factor=0, betas=(0.9, 0.999), caution=True),
    "adafactor_cautious_count": po(
        "AdaFactor", 1.0, betas=(0.9, 0.999), momentum_dtype=Named("torch.float64"), cautious=True
    ),
    "muon": _muon(0.02, weight_decay=0.0),
    "muon_decay": _muon(wave(0.02), momentum=0.9, weight_decay=0.1),
    "muon_match_rms": _muon(0.02, weight_decay=0.0, nesterov=False, adjust_lr_fn="match_rms_adamw"),
    "muon_in_out": optax("contrib.muon", wave(0.02), eps=0.0),
    "muon_coefficients": optax("contrib.muon", 0.02, nesterov=False, ns_coeffs="dion", consistent_rms=0.2, eps=0.0),
    "muon_spectral": _muon_per_leaf(w=0.02, u=0.02 * sqrt(4 / 6)),
    "muon_unscaled": _muon_per_leaf(w=0.02 / sqrt(5 / 4), u=0.02),
    "muon_aux": Oracle(
        {
            "w": call("torch.optim.Muon", lr=0.02, weight_decay=0.1),
            "b": call("torch.optim.AdamW", lr=0.003, betas=(0.9, 0.95), weight_decay=0.1, foreach=False),
        },
        patches=_FLOAT64,
    ),
    "shampoo": Oracle(call("pytorch_optimizer.Shampoo", lr=0.1)),
    # modifiers
    "clip_sgd": optax("chain", call("optax.clip_by_global_norm", 10.0), call("optax.sgd", 0.02, momentum=0.9)),
    "clip_adamw": optax("chain", call("optax.clip_by_global_norm", 1.0), call("optax.adamw", 0.01, weight_decay=0.1)),
    "clip_nonfinite": optax("chain", call("optax.clip_by_global_norm", 1.0), call("optax.sgd", 0.1)),
    "accumulate_adam": optax("MultiSteps", call("optax.adam", 0.01), 4, accumulator_dtype="float64"),
    "accumulate_adamw_schedule": optax(
        "MultiSteps", call("optax.adamw", wave(0.02), weight_decay=0.1), 3, accumulator_dtype="float64"
    ),
    "accumulate_sum": optax(
        "MultiSteps", call("optax.sgd", 0.01, momentum=0.9), 3, use_grad_mean=False, accumulator_dtype="float64"
    ),
    "skip_nonfinite": optax("apply_if_finite", call("optax.adam", wave(0.02)), 3),
    "skip_nonfinite_gives_up": optax("apply_if_finite", call("optax.adam", 0.01), 2),
    "lookahead": optax("lookahead", call("optax.adam", 0.01), 5, 0.5),
    "lookahead_reset": optax("lookahead", call("optax.adam", 0.01), 6, 0.8, reset_state=True),
}
