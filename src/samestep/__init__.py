"""samestep: optimizers for every array library, written once, the same everywhere."""

from array_api_compat import array_namespace

from . import estimate, schedules
from .algorithms.adabelief import adabelief, scale_by_adabelief
from .algorithms.adabound import adabound, scale_by_adabound
from .algorithms.adadelta import adadelta, scale_by_adadelta
from .algorithms.adafactor import adafactor, scale_by_adafactor
from .algorithms.adagrad import adagrad, scale_by_adagrad
from .algorithms.adam import adam, adamw, scale_by_adam
from .algorithms.adamax import adamax, scale_by_adamax
from .algorithms.adan import adan, scale_by_adan
from .algorithms.adashift import adashift, scale_by_adashift
from .algorithms.adax import adax, adaxw, scale_by_adax
from .algorithms.ademamix import ademamix, scale_by_ademamix
from .algorithms.adopt import adopt, scale_by_adopt
from .algorithms.amos import amos, amos_step
from .algorithms.asgd import asgd, asgd_step
from .algorithms.c_adamw import c_adamw, c_lion
from .algorithms.came import came, scale_by_came
from .algorithms.dadapt_adam import dadapt_adam, scale_by_dadapt_adam
from .algorithms.dog import dog, scale_by_dog
from .algorithms.dowg import dowg, scale_by_dowg
from .algorithms.eg_gains import eg_gains, eg_gains_step, scale_by_eg_gains
from .algorithms.egd import egd, multiply
from .algorithms.egd_pm import egd_pm, multiply_pair
from .algorithms.ftrl import ftrl, ftrl_step
from .algorithms.katyusha import katyusha, katyusha_step
from .algorithms.l_katyusha import l_katyusha, l_katyusha_step
from .algorithms.lamb import add_decay, lamb
from .algorithms.laprop import laprop, scale_by_laprop
from .algorithms.lars import lars, scale_by_lars
from .algorithms.lion import lion, scale_by_lion
from .algorithms.madgrad import madgrad, madgrad_step
from .algorithms.mars import mars, scale_by_mars
from .algorithms.muon import muon, scale_by_muon
from .algorithms.nadam import nadam, scale_by_nadam
from .algorithms.natasha import natasha, natasha_random_step, natasha_step
from .algorithms.novograd import novograd, scale_by_novograd
from .algorithms.online_rmsprop import online_rmsprop, scale_by_online_rmsprop
from .algorithms.padam import padam, scale_by_padam
from .algorithms.prodigy import prodigy, scale_by_prodigy
from .algorithms.radam import radam, scale_by_radam
from .algorithms.rmsprop import rmsprop, scale_by_rmsprop
from .algorithms.rprop import rprop, rprop_step
from .algorithms.sc_adagrad import sc_adagrad, sc_rmsprop, scale_by_sc_adagrad, scale_by_sc_rmsprop
from .algorithms.schedule_free import schedule_free_sgd, schedule_free_sgd_step
from .algorithms.schedule_free_adamw import schedule_free_adamw, schedule_free_adamw_step
from .algorithms.schedule_free_plus import schedule_free_plus, schedule_free_plus_step
from .algorithms.schedule_free_radam import schedule_free_radam, schedule_free_radam_step
from .algorithms.sgd import momentum, sgd, velocity
from .algorithms.sgdw import sgdw
from .algorithms.shampoo import scale_by_shampoo, shampoo
from .algorithms.signum import scale_by_signum, signum, tiger
from .algorithms.simplified_ademamix import scale_by_simplified_ademamix, simplified_ademamix
from .algorithms.sm3 import scale_by_sm3, sm3
from .algorithms.soap import scale_by_soap, soap
from .algorithms.svrg import l_svrg, svrg
from .algorithms.yogi import scale_by_yogi, yogi
from .backend import backends, use_backend
from .compose import chain, groups
from .composition import rules
from .composition.choices import unbias
from .composition.ftrl_proximal import ftrl_proximal, lazy_step
from .composition.mirror_descent import greedy_step, mirror_descent
from .errors import (
    BackendError,
    ChainError,
    DonationError,
    HyperparameterError,
    LeafError,
    SamestepError,
    StateError,
    TraceError,
    TreeError,
)
from .explain import explain
from .groups import freeze
from .modifiers.accumulate import accumulate
from .modifiers.adaptive_clip import adaptive_clip
from .modifiers.add_noise import add_noise
from .modifiers.agd import agd, agd_velocity
from .modifiers.amos_schedule import amos_schedule
from .modifiers.cautious import cautious
from .modifiers.centralize import centralize
from .modifiers.clip import clip_by_global_norm, clip_by_norm, clip_by_value
from .modifiers.decay import decay
from .modifiers.descend import descend
from .modifiers.ema import ema
from .modifiers.flooding import flooding
from .modifiers.grokfast import grokfast
from .modifiers.hidden_accumulation import hidden_accumulation
from .modifiers.kahan import kahan
from .modifiers.lookahead import lookahead
from .modifiers.master_weights import master_weights
from .modifiers.maximize import negate
from .modifiers.monitor import monitor, monitor_sigma, monitor_step
from .modifiers.nesterov_estimate import nesterov_estimate
from .modifiers.reduce_on_plateau import reduce_on_plateau
from .modifiers.sign import sign
from .modifiers.skip_nonfinite import skip_nonfinite
from .modifiers.stochastic_rounding import stochastic_rounding
from .modifiers.swa import swa
from .modifiers.trust_ratio import trust_ratio
from .modifiers.unscale import loss_scaling, unscale
from .modifiers.variance_reduced import snapshot_at_random, snapshot_by_coin, snapshot_every, variance_reduced
from .modifiers.warm_restart import warm_restart
from .optimizer import Optimizer
from .page import (
    borrowed,
    cols,
    copy,
    count,
    direction,
    fraction,
    full,
    full_gradient,
    given,
    given_leaves,
    gradient,
    kept,
    last_params,
    nonnegative,
    ones,
    per_leaf,
    positive,
    rows,
    scalar,
    stale,
    unit,
    update,
    zeros,
)
from .row_sparse import RowSparse
from .trace.namespace import sum_over_params
from .trace.noise import normal, random_bits, rounded, uniform

__version__ = "0.1.0"

__all__ = [
    "BackendError",
    "ChainError",
    "DonationError",
    "HyperparameterError",
    "LeafError",
    "Optimizer",
    "RowSparse",
    "SamestepError",
    "StateError",
    "TraceError",
    "TreeError",
    "accumulate",
    "adabelief",
    "adabound",
    "adadelta",
    "adafactor",
    "adagrad",
    "adam",
    "adamax",
    "adamw",
    "adan",
    "adaptive_clip",
    "adashift",
    "adax",
    "adaxw",
    "add_decay",
    "add_noise",
    "ademamix",
    "adopt",
    "agd",
    "agd_velocity",
    "amos",
    "amos_schedule",
    "amos_step",
    "array_namespace",
    "asgd",
    "asgd_step",
    "backends",
    "borrowed",
    "c_adamw",
    "c_lion",
    "came",
    "cautious",
    "centralize",
    "chain",
    "clip_by_global_norm",
    "clip_by_norm",
    "clip_by_value",
    "cols",
    "copy",
    "count",
    "dadapt_adam",
    "decay",
    "descend",
    "direction",
    "dog",
    "dowg",
    "eg_gains",
    "eg_gains_step",
    "egd",
    "egd_pm",
    "ema",
    "estimate",
    "explain",
    "flooding",
    "fraction",
    "freeze",
    "ftrl",
    "ftrl_proximal",
    "ftrl_step",
    "full",
    "full_gradient",
    "given",
    "given_leaves",
    "gradient",
    "greedy_step",
    "grokfast",
    "groups",
    "hidden_accumulation",
    "kahan",
    "katyusha",
    "katyusha_step",
    "kept",
    "l_katyusha",
    "l_katyusha_step",
    "l_svrg",
    "lamb",
    "laprop",
    "lars",
    "last_params",
    "lazy_step",
    "lion",
    "lookahead",
    "loss_scaling",
    "madgrad",
    "madgrad_step",
    "mars",
    "master_weights",
    "mirror_descent",
    "momentum",
    "monitor",
    "monitor_sigma",
    "monitor_step",
    "multiply",
    "multiply_pair",
    "muon",
    "nadam",
    "natasha",
    "natasha_random_step",
    "natasha_step",
    "negate",
    "nesterov_estimate",
    "nonnegative",
    "normal",
    "novograd",
    "ones",
    "online_rmsprop",
    "padam",
    "per_leaf",
    "positive",
    "prodigy",
    "radam",
    "random_bits",
    "reduce_on_plateau",
    "rmsprop",
    "rounded",
    "rows",
    "rprop",
    "rprop_step",
    "rules",
    "sc_adagrad",
    "sc_rmsprop",
    "scalar",
    "scale_by_adabelief",
    "scale_by_adabound",
    "scale_by_adadelta",
    "scale_by_adafactor",
    "scale_by_adagrad",
    "scale_by_adam",
    "scale_by_adamax",
    "scale_by_adan",
    "scale_by_adashift",
    "scale_by_adax",
    "scale_by_ademamix",
    "scale_by_adopt",
    "scale_by_came",
    "scale_by_dadapt_adam",
    "scale_by_dog",
    "scale_by_dowg",
    "scale_by_eg_gains",
    "scale_by_laprop",
    "scale_by_lars",
    "scale_by_lion",
    "scale_by_mars",
    "scale_by_muon",
    "scale_by_nadam",
    "scale_by_novograd",
    "scale_by_online_rmsprop",
    "scale_by_padam",
    "scale_by_prodigy",
    "scale_by_radam",
    "scale_by_rmsprop",
    "scale_by_sc_adagrad",
    "scale_by_sc_rmsprop",
    "scale_by_shampoo",
    "scale_by_signum",
    "scale_by_simplified_ademamix",
    "scale_by_sm3",
    "scale_by_soap",
    "scale_by_yogi",
    "schedule_free_adamw",
    "schedule_free_adamw_step",
    "schedule_free_plus",
    "schedule_free_plus_step",
    "schedule_free_radam",
    "schedule_free_radam_step",
    "schedule_free_sgd",
    "schedule_free_sgd_step",
    "schedules",
    "sgd",
    "sgdw",
    "shampoo",
    "sign",
    "signum",
    "simplified_ademamix",
    "skip_nonfinite",
    "sm3",
    "snapshot_at_random",
    "snapshot_by_coin",
    "snapshot_every",
    "soap",
    "stale",
    "stochastic_rounding",
    "sum_over_params",
    "svrg",
    "swa",
    "tiger",
    "trust_ratio",
    "unbias",
    "uniform",
    "unit",
    "unscale",
    "update",
    "use_backend",
    "variance_reduced",
    "velocity",
    "warm_restart",
    "yogi",
    "zeros",
]
