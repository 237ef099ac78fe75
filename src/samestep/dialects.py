"""Other libraries' conventions and default numbers, as data: what `dialect=` of a named constructor stands for.

A row holds what the library's own signature and code say, also where it says what we do: a change of ours must not
change theirs. It has no `lr` where the library has no default: ours stays. tests/test_dialects.py holds each row to the
library itself. `tf1` is TensorFlow 1's `tf.train`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import HyperparameterError

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Refused:
    """In place of a value: this library's meaning of the argument is not ours, for this reason."""

    reason: str


def _row(**values: Any) -> Row:
    return values


AFTER_DECAY = Refused("Keras takes the norm of the parameter after its decay, we before: chain another part for it")

ADAM: Mapping[str, Mapping[str, Any]] = {  # of each library; its AdamW differs by the decay alone
    "torch": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "eps_mode": "outside", "amsgrad": False},
    "optax": {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "eps_mode": "outside", "eps_root": 0.0},
    "keras": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-7, "eps_mode": "hat", "amsgrad": False},
}

DIALECTS: Mapping[str, Mapping[str, Row]] = {  # constructor -> library -> argument -> value
    "sgd": {
        "torch": _row(
            lr=1e-3,
            momentum=0.0,
            dampening=0.0,
            nesterov=False,
            form="classical",
            first_step="grad",
            weight_decay=0.0,
            decay="coupled",
        ),
        "optax": _row(momentum=0.0, nesterov=False, form="classical", first_step="zero"),
        "keras": _row(lr=0.01, momentum=0.0, nesterov=False, form="velocity", weight_decay=0.0, decay="decoupled"),
        "tf1": _row(nesterov=False, form="classical", first_step="zero"),
    },
    "adagrad": {
        "torch": _row(
            lr=0.01,
            eps=1e-10,
            eps_mode="outside",
            initial_accumulator=0.0,
            lr_decay=0.0,
            weight_decay=0.0,
            decay="coupled",
        ),
        "optax": _row(eps=1e-7, eps_mode="inside", initial_accumulator=0.1),
        "keras": _row(
            lr=1e-3, eps=1e-7, eps_mode="inside", initial_accumulator=0.1, weight_decay=0.0, decay="decoupled"
        ),
        "tf1": _row(eps=0.0, initial_accumulator=0.1),
    },
    "rmsprop": {
        "torch": _row(
            lr=0.01,
            rho=0.99,
            eps=1e-8,
            eps_mode="outside",
            momentum=0.0,
            form="classical",
            centered=False,
            initial_accumulator=0.0,
            weight_decay=0.0,
            decay="coupled",
        ),
        "optax": _row(
            rho=0.9,
            eps=1e-8,
            eps_mode="inside",
            momentum=0.0,
            nesterov=False,
            form="velocity",
            centered=False,
            bias_correction=False,
            initial_accumulator=0.0,
        ),
        "keras": _row(
            lr=1e-3,
            rho=0.9,
            eps=1e-7,
            eps_mode="inside",
            momentum=0.0,
            form="velocity",
            centered=False,
            initial_accumulator=0.0,
            weight_decay=0.0,
            decay="decoupled",
        ),
        "tf1": _row(
            rho=0.9,
            eps=1e-10,
            eps_mode="inside",
            momentum=0.0,
            form="velocity",
            centered=False,
            initial_accumulator=1.0,
        ),
    },
    "adam": {
        "torch": _row(**ADAM["torch"], weight_decay=0.0, decay="coupled"),
        "optax": _row(**ADAM["optax"]),
        "keras": _row(**ADAM["keras"], weight_decay=0.0, decay="decoupled"),
        "tf1": _row(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8, eps_mode="hat"),
    },
    "adamw": {
        "torch": _row(**ADAM["torch"], weight_decay=0.01, decay="decoupled"),
        "optax": _row(**ADAM["optax"], weight_decay=1e-4, decay="decoupled"),
        "keras": _row(**ADAM["keras"], weight_decay=4e-3, decay="decoupled"),
    },
    "nadam": {
        "torch": _row(
            lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, psi=4e-3, schedule="dozat", weight_decay=0.0, decay="coupled"
        ),
        "optax": _row(beta1=0.9, beta2=0.999, eps=1e-8, eps_root=0.0, schedule="none"),
        "keras": _row(
            lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, psi=1.0, schedule="dozat", weight_decay=0.0, decay="decoupled"
        ),
    },
    "radam": {
        "torch": _row(
            lr=1e-3,
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            eps_mode="hat",
            threshold=5.0,
            strict=True,
            fallback="sgd",
            weight_decay=0.0,
            decay="coupled",
        ),
        "optax": _row(
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            eps_mode="outside",
            threshold=5.0,
            strict=False,
            fallback="sgd",
            nesterov=False,
        ),
    },
    "adamax": {
        "torch": _row(lr=2e-3, beta1=0.9, beta2=0.999, eps=1e-8, eps_mode="inside", weight_decay=0.0, decay="coupled"),
        "optax": _row(beta1=0.9, beta2=0.999, eps=1e-8, eps_mode="inside"),
        "keras": _row(
            lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, eps_mode="outside", weight_decay=0.0, decay="decoupled"
        ),
    },
    "lars": {
        "optax": _row(
            momentum=0.9,
            nesterov=False,
            lr_inside=True,
            weight_decay=0.0,
            trust_coefficient=1e-3,
            eps=0.0,
            norm="combined",
        ),
    },
    "lamb": {
        "optax": _row(beta1=0.9, beta2=0.999, eps=1e-6, eps_mode="outside", eps_root=0.0, weight_decay=0.0),
        "keras": _row(lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-7, eps_mode="outside", weight_decay=AFTER_DECAY),
    },
    "adafactor": {
        "torch": _row(
            lr=0.01,
            decay_rate=0.8,
            eps=None,
            eps_mode="floor",
            eps2=1e-3,
            clip_threshold=1.0,
            factor="last",
            weight_decay=0.0,
            decay="decoupled",
        ),
        "optax": _row(
            decay_rate=0.8,
            eps=1e-30,
            eps_mode="added",
            eps2=1e-3,
            clip_threshold=1.0,
            relative_step=False,
            scale_parameter=True,
            min_dim=128,
            factor="largest",
            weight_decay=0.0,
            decay="independent",
        ),
        "keras": _row(
            lr=1e-3,
            decay_rate=0.8,
            eps=1e-30,
            eps_mode="added",
            eps2=1e-3,
            clip_threshold=1.0,
            factor="last",
            relative_step=True,
            weight_decay=AFTER_DECAY,
        ),
    },
    "ftrl": {
        "keras": _row(
            lr=1e-3,
            lr_power=-0.5,
            beta=0.0,
            l1=0.0,
            l2=0.0,
            l2_form="whole",
            initial_accumulator=0.1,
            l2_shrinkage=0.0,
            framework_sigma=True,
            z0="zeros",
        ),
        "tf1": _row(
            lr_power=-0.5,
            beta=0.0,
            l1=0.0,
            l2=0.0,
            l2_form="whole",
            initial_accumulator=0.1,
            l2_shrinkage=0.0,
            framework_sigma=True,
            z0="zeros",
        ),
    },
}


def spoken(name: str, dialect: str, given: Collection[str]) -> Row:
    """What a dialect sets of the constructor of this name; an argument that is given and refused is an error."""
    row = DIALECTS[name][dialect]
    for key, value in row.items():
        if isinstance(value, Refused) and key in given:
            raise HyperparameterError(f"{name}(dialect={dialect!r}) takes no {key}: {value.reason}")
    return {key: value for key, value in row.items() if not isinstance(value, Refused)}
