"""samestep: optimizers for every array library, written once, the same everywhere."""

from array_api_compat import array_namespace

from .algorithms.adam import adam, adamw, scale_by_adam
from .algorithms.lion import lion, scale_by_lion
from .algorithms.sgd import momentum, sgd
from .backend import backends, use_backend
from .explain import explain
from .groups import freeze
from .modifiers.cautious import cautious
from .modifiers.clip import clip_by_global_norm
from .modifiers.decay import decay
from .modifiers.descend import descend
from .modifiers.maximize import negate
from .optimizer import Optimizer, chain, groups
from .page import (
    cols,
    copy,
    count,
    direction,
    fraction,
    full,
    given,
    gradient,
    kept,
    nonnegative,
    ones,
    positive,
    rows,
    scalar,
    unit,
    update,
    zeros,
)
from .trace.namespace import sum_over_params
