"""What the options of our constructors mean, for whoever reads a comparison."""

from __future__ import annotations

from typing import Any

from .conventions import Change
from .models import NUMBERS

CONVENTIONS = {  # the option -> the convention it is about
    "eps_mode": "eps placement",
    "eps": "eps value",
    "eps_root": "eps value",
    "bias_correction": "bias correction",
    "decay": "decay coupling",
    "weight_decay": "decay value",
    "form": "momentum form",
    "place": "momentum form",
    "dampening": "momentum form",
    "first_step": "momentum form",
    "momentum": "momentum form",
    "initial_accumulator": "initial accumulator",
    "nesterov": "Nesterov form",
    "difference": "Nesterov form",
    "amsgrad": "AMSGrad form",
    "schedule": "schedule of beta1",
    "psi": "schedule of beta1",
}

WORDS: dict[str, dict[Any, str]] = {
    "eps_mode": {
        "outside": "adds eps outside the square root, sqrt(v_hat) + eps",
        "inside": "adds eps inside the square root, sqrt(v_hat + eps)",
        "hat": "adds eps to the root of the uncorrected mean, sqrt(v) + eps (epsilon hat)",
    },
    "bias_correction": {
        True: "divides the means by 1 - beta^t",
        False: "does not correct the means' bias",
        "m": "corrects the bias of the first mean alone",
        "v": "corrects the bias of the second mean alone",
    },
    "decay": {
        "coupled": "adds weight_decay p to the gradient (coupled)",
        "decoupled": "multiplies p by 1 - lr weight_decay (decoupled)",
        "independent": "multiplies p by 1 - weight_decay, without lr (independent)",
        "proximal": "divides p by 1 + lr weight_decay after the step (proximal)",
        "cautious": "multiplies p by 1 - lr weight_decay where the step goes towards 0 too (cautious)",
        "native": "decays in its own way",
    },
    "form": {
        "classical": "keeps lr outside the momentum buffer, m <- momentum m + g, p <- p - lr m",
        "velocity": "has lr inside the momentum buffer, m <- momentum m + lr g, p <- p - m",
        "ema": "averages, m <- momentum m + (1 - momentum) g",
        "ema velocity": "averages with lr inside, m <- momentum m + (1 - momentum) lr g, p <- p - m",
    },
    "place": {
        "before": "averages gradients, and then divides",
        "after": "divides first, and has its momentum on the quotient",
    },
    "first_step": {
        "grad": "starts the buffer with the whole first gradient",
        "zero": "starts the buffer at 0",
    },
    "nesterov": {
        True: "looks one step ahead, along momentum m + the term of g (Nesterov)",
        False: "does not look ahead",
        "ahead": "looks ahead with the next step's bias correction for m (NAdam)",
    },
    "difference": {
        "beta2": "weighs the difference of gradients by beta2, as the authors' code",
        "1 - beta2": "weighs the difference of gradients by 1 - beta2",
    },
    "amsgrad": {
        False: "keeps no largest v",
        "post": "takes the largest raw v and corrects its bias then (post)",
        "pre": "takes the largest bias-corrected v (pre)",
        "paper": "takes the largest raw v, without any bias correction (paper)",
        "inplace": "keeps v from falling, in place (inplace)",
    },
    "schedule": {
        "dozat": "lets beta1 follow Dozat's schedule, beta1 (1 - 0.96^(t psi) / 2), in the look-ahead",
        "dozat mean": "lets beta1 follow Dozat's schedule, beta1 (1 - 0.96^(t psi) / 2), in the mean too",
        "none": "keeps beta1 constant",
    },
    "second": {
        "mean": "divides by the root of a mean of squares",
        "sum": "divides by the root of a sum of squares",
        "none": "divides by nothing",
    },
    "initial_accumulator": {0.0: "starts the accumulator at 0"},
    "maximize": {True: "climbs", False: "descends"},
    "centered": {True: "subtracts the squared mean gradient", False: "does not centre"},
}


def conventions(change: Change) -> tuple[str, ...]:
    """The conventions that a change is about: AMSGrad as in its paper has no bias correction either."""
    more = ("bias correction",) if change.option == "amsgrad" and "paper" in (change.a, change.b) else ()
    return (convention(change.option), *more)


def convention(option: str) -> str:
    """The convention that an option is about; its own name where it is none of the eight."""
    return CONVENTIONS.get(option, f"{option} value" if option in ("lr", *NUMBERS) else option)


def says(option: str, value: Any) -> str:
    """A phrase about one side, such as "adds eps inside the square root"."""
    if option == "initial_accumulator" and value:
        return f"starts the accumulator at {value:g}"
    known = WORDS.get(option, {}).get(value) if isinstance(value, str | bool | float) else None
    return known or _plain(option, value)


def _plain(option: str, value: Any) -> str:
    return f"has {option} = {value:g}" if isinstance(value, float) else f"has {option} = {value!r}"


def sentence(change: Change, other: str, one: str) -> str:
    """What `other` does in place of what `one` does."""
    words = says(change.option, change.b), says(change.option, change.a)
    codes = [
        f" ({change.option}={x!r})" if w != _plain(change.option, x) else ""
        for w, x in zip(words, (change.b, change.a), strict=True)
    ]
    return f"{other} {words[0]}{codes[0]}; {one} {words[1]}{codes[1]}"
