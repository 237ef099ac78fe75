"""The defaults that the cards recommend, and part C settles: a page has each once, and is held to this list."""

import inspect

import pytest

import samestep as ss

ZERO = {"weight_decay": 0.0}
PART_A = {  # part A, cards 1 to 12
    "lion": {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99},
    "tiger": {"lr": 1e-3, "beta": 0.965},
    "c_adamw": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6, "eps_root": 0.0},
    "c_lion": {"lr": 1e-4, "beta1": 0.95, "beta2": 0.98},
    "amos": {"beta": 0.999, "c": 0.25, "d": 0.25, "extra_l2": 0.0, "eps": 2.0**-125},
    "eg_gains": {"gamma": 1e-2, "bound": 10.0},
    "adax": {"lr": 1.5e-3, "beta1": 0.9, "beta2": 1e-4, "eps": 1e-12, "weight_decay": 5e-4},
    "adaxw": {"lr": 5e-3, "beta1": 0.9, "beta2": 1e-4, "eps": 1e-12, "weight_decay": 5e-2},
    "adan": {"lr": 1e-3, "beta1": 0.98, "beta2": 0.92, "beta3": 0.99, "eps": 1e-8, "eps_root": 0.0},
    "adopt": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.9999, "eps": 1e-6, "clip": 0.25},
}
CARDS = {  # part C, 1
    "rprop": {"lr": 0.01, "eta_minus": 0.5, "eta_plus": 1.2, "step_min": 1e-6, "step_max": 50.0},
    "adadelta": {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "decay": "coupled"} | ZERO,
    "adamax": {"lr": 2e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "eps_mode": "inside"} | ZERO,
    "yogi": {"lr": 1e-2, "beta1": 0.9, "beta2": 0.999, "eps": 1e-3, "initial_accumulator": 1e-6} | ZERO,
    "ademamix": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "beta3": 0.9999, "alpha": 5.0, "eps": 1e-8} | ZERO,
    "simplified_ademamix": {"beta1": 0.99, "beta2": 0.95, "alpha": 0.0},
    "laprop": {"lr": 4e-4, "beta1": 0.9, "beta2": 0.999, "eps": 1e-15, "lr_in_momentum": True} | ZERO,
    "sm3": {"lr": 0.1, "momentum": 0.9, "eps": 1e-30, "beta": None} | ZERO,
    "came": {"lr": 2e-4, "beta1": 0.9, "beta2": 0.999, "beta3": 0.9999, "eps": 1e-30, "eps2": 1e-16} | ZERO,
    "muon": {"lr": 0.02, "aux_lr": None, "momentum": 0.95, "nesterov": True, "ns_steps": 5, "ns_eps": 1e-7}
    | {"ns_coeffs": (3.4445, -4.7750, 2.0315), "ns_eps_mode": "max", "ns_dtype": None, "scale": "original"}
    | {"layout": "out_in", "beta1": 0.9, "beta2": 0.95, "eps": 1e-8, "bias_correction": False}
    | ZERO,
    "prodigy": {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "beta3": None, "eps": 1e-8, "d0": 1e-6, "d_coef": 1.0}
    | {"growth_rate": None, "bias_correction": False, "decay": "decoupled"}
    | ZERO,
    "dadapt_adam": {"lr": 1.0, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "d0": 1e-6, "growth_rate": None}
    | {"bias_correction": False, "decay": "decoupled"}
    | ZERO,
    "dog": {"lr": 1.0, "reps_rel": 1e-6, "eps": 1e-8, "init": "heuristic", "per_leaf": False} | ZERO,
    "dowg": {"lr": 1.0, "eps": 1e-4, "first": None},
    "signum": {"lr": 1e-3, "beta": 0.9} | ZERO,
    "asgd": {"lr": 1e-2, "lambd": 1e-4, "alpha": 0.75, "t0": 1e6} | ZERO,
    "madgrad": {"lr": 1e-2, "momentum": 0.9, "eps": 1e-6} | ZERO,
    "novograd": {"lr": 1e-3, "beta1": 0.95, "beta2": 0.98, "eps": 1e-8, "grad_averaging": False, "decay": "inside"}
    | ZERO,
    "mars": {"lr": 3e-3, "beta1": 0.95, "beta2": 0.99, "gamma": 0.025, "eps": 1e-8, "optimize_1d": True}
    | {"g_prev0": "grad", "beta1_1d": 0.9, "beta2_1d": 0.95, "weight_decay_1d": 0.1}
    | ZERO,
    "grokfast": {"grok_alpha": 0.98, "grok_lamb": 2.0},
    "adashift": {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "keep": 10, "eps": 1e-10, "reduce": "max"},
}
SETTLED = {  # part C, 6, what the cards above do not have
    "adax": {"eps": 1e-12, "eps_mode": "outside"},
    "adaxw": {"eps": 1e-12, "eps_mode": "outside"},
    "adabelief": {"rectify": False, "decay": "decoupled", "eps": 1e-16},
    "padam": {"partial": 0.125, "amsgrad": "post", "lr": 0.1},
    "lamb": ZERO,
    "ftrl": {"lr": 0.1, "lr_power": -0.5, "beta": 0.0, "l1": 0.0, "l2": 0.0, "initial_accumulator": 0.0, "z0": "prox"},
    "adopt": {"clip": 0.25},
    "lion": {"lr": 1e-4, "beta1": 0.9, "beta2": 0.99} | ZERO,
    "c_lion": {"beta1": 0.95, "beta2": 0.98},
    "cautious": {"scale": "mean", "floor": 1e-3},
    "nadam": {"psi": 4e-3},
    "radam": {"threshold": 5.0, "strict": True, "fallback": "sgd", "eps_mode": "hat"},
    "shampoo": {"lr": 1e-3, "eps": 1e-6, "beta2": None, "momentum": 0.0, "graft": "none", "freq": 1, "max_dim": 4096}
    | {"root": None}
    | ZERO,
    "soap": {"lr": 3e-3, "beta1": 0.95, "beta2": 0.95, "shampoo_beta": None, "eps": 1e-8, "weight_decay": 0.01}
    | {"freq": 10, "max_dim": 10_000, "precondition_1d": False, "bias_correction": True},
    "ema": {"debias": True},
    "clip_by_global_norm": {"clip_eps": 0.0, "nonfinite": "nan"},
    "lookahead": {"k": 5, "alpha": 0.5, "reset": "none", "start": "init"},
    "skip_nonfinite": {"max_consecutive": 10},
    "accumulate": {"mean": True},
}


@pytest.mark.parametrize("table", [PART_A, CARDS, SETTLED], ids=["part A", "cards", "settled"])
def test_the_settled_defaults(table):
    for name, expected in table.items():
        own = inspect.signature(getattr(ss, name)).parameters
        found = {argument: own[argument].default for argument in expected}
        assert found == expected, name
