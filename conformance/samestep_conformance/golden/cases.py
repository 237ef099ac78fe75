"""What is proved against other people's code: one row per case. It is also the one table of exceptions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .problem import wave


@dataclass(frozen=True)
class Case:
    """`ours` makes our optimizer from the namespace samestep; |a - b| <= tolerance * max(1, |a|) in every step.

    A tolerance above 1e-12 is an exception: `remark` then gives the other library's own error. There is none so far.
    """

    name: str
    ours: Callable[[Any], Any]
    problem: str = "vector"
    tolerance: float = 1e-12
    remark: str = ""


DION = (  # a published list of Newton-Schulz coefficients, one triple per step
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)

CASES = [
    # gradient descent
    Case("sgd", lambda ss: ss.sgd(0.02)),
    Case("sgd_momentum", lambda ss: ss.sgd(wave(0.02), momentum=0.9)),
    Case("sgd_coupled", lambda ss: ss.sgd(0.01, momentum=0.9, weight_decay=0.1)),
    Case("sgd_decoupled", lambda ss: ss.chain(ss.decay(0.1), ss.sgd(wave(0.01), momentum=0.9, form="velocity"))),
    Case("sgd_dampening", lambda ss: ss.sgd(0.02, momentum=0.9, dampening=0.5)),
    Case("sgd_dampening_zero", lambda ss: ss.sgd(0.02, momentum=0.9, dampening=0.5, first_step="zero")),
    Case("sgd_nesterov", lambda ss: ss.sgd(0.01, momentum=0.9, nesterov=True)),
    Case("sgd_velocity", lambda ss: ss.sgd(wave(0.01), momentum=0.9, form="velocity")),
    Case("sgd_velocity_nesterov", lambda ss: ss.sgd(wave(0.01), momentum=0.9, nesterov=True, form="velocity")),
    Case("sgd_ema", lambda ss: ss.sgd(wave(0.05), momentum=0.9, form="ema")),
    # adagrad
    Case("adagrad", lambda ss: ss.adagrad(0.1)),
    Case("adagrad_decay", lambda ss: ss.adagrad(wave(0.1), lr_decay=0.1, initial_accumulator=0.1, weight_decay=0.1)),
    Case("adagrad_inside_optax", lambda ss: ss.adagrad(0.1, eps=1e-7, eps_mode="inside", initial_accumulator=0.1)),
    Case(
        "adagrad_inside_keras", lambda ss: ss.adagrad(wave(0.1), eps=1e-3, eps_mode="inside", initial_accumulator=0.1)
    ),
    # rmsprop
    Case("rmsprop", lambda ss: ss.rmsprop(0.01)),
    Case("rmsprop_momentum", lambda ss: ss.rmsprop(wave(0.01), momentum=0.9, weight_decay=0.1)),
    Case("rmsprop_centered", lambda ss: ss.rmsprop(0.01, centered=True, momentum=0.9)),
    Case("rmsprop_centered_inside", lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-7, centered=True, eps_mode="inside")),
    Case("rmsprop_inside_optax", lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-8, eps_mode="inside")),
    Case("rmsprop_inside_keras", lambda ss: ss.rmsprop(wave(0.01), rho=0.9, eps=1e-7, eps_mode="inside")),
    Case(
        "rmsprop_initial", lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-10, eps_mode="inside", initial_accumulator=1.0)
    ),
    Case("rmsprop_debiased", lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-6, bias_correction=True)),
    Case(
        "rmsprop_debiased_inside",
        lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-6, eps_mode="inside", bias_correction=True),
    ),
    Case("rmsprop_velocity_optax", lambda ss: ss.rmsprop(wave(0.01), rho=0.9, momentum=0.9, form="velocity")),
    Case(
        "rmsprop_velocity_keras",
        lambda ss: ss.rmsprop(wave(0.01), rho=0.9, eps=1e-7, eps_mode="inside", momentum=0.9, form="velocity"),
    ),
    # adam, adamw
    Case("adam", lambda ss: ss.adam(0.01)),
    Case("adam_schedule", lambda ss: ss.adam(wave(0.02), beta1=0.8, beta2=0.99, eps=1e-6)),
    Case("adam_coupled", lambda ss: ss.adam(0.01, weight_decay=0.1)),
    Case("adam_maximize", lambda ss: ss.adam(0.01, weight_decay=0.1, maximize=True)),
    Case("adam_hat", lambda ss: ss.adam(wave(0.02), eps=1e-5, eps_mode="hat")),
    Case("adam_inside", lambda ss: ss.adam(0.01, eps=1e-6, eps_mode="inside")),
    Case("adam_eps_root", lambda ss: ss.adam(0.01, eps=1e-5, eps_root=1e-6)),
    Case("adam_biased", lambda ss: ss.adam(0.01, eps=1e-6, bias_correction=False)),
    Case("adam_amsgrad_post", lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="post")),
    Case("adam_amsgrad_post_hat", lambda ss: ss.adam(0.01, beta2=0.9, eps=1e-5, eps_mode="hat", amsgrad="post")),
    Case("adam_amsgrad_pre", lambda ss: ss.adam(wave(0.02), beta2=0.9, amsgrad="pre")),
    Case("adam_amsgrad_paper", lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="paper")),
    Case("adamw", lambda ss: ss.adamw(0.01, weight_decay=0.1)),
    Case("adamw_default", lambda ss: ss.adamw()),
    Case("adamw_schedule", lambda ss: ss.adamw(wave(0.02), weight_decay=0.1)),
    Case("adamw_eps_root", lambda ss: ss.adamw(wave(0.02), weight_decay=0.1, eps_root=1e-6)),
    Case("adamw_hat", lambda ss: ss.adamw(0.01, eps=1e-5, eps_mode="hat", weight_decay=0.1)),
    Case("adamw_amsgrad", lambda ss: ss.adamw(0.01, beta2=0.9, weight_decay=0.1, amsgrad="post")),
    # nadam, radam
    Case("nadam", lambda ss: ss.nadam(0.01)),
    Case("nadam_coupled", lambda ss: ss.nadam(wave(0.02), psi=0.01, weight_decay=0.1)),
    Case("nadam_decoupled", lambda ss: ss.nadam(0.01, weight_decay=0.1, decay="decoupled")),
    Case("nadam_keras", lambda ss: ss.nadam(0.01, eps=1e-7, psi=1.0)),
    Case("nadam_constant", lambda ss: ss.nadam(wave(0.02), schedule="none")),
    Case("radam", lambda ss: ss.radam(0.01)),
    Case("radam_coupled", lambda ss: ss.radam(wave(0.02), beta2=0.99, eps=1e-6, weight_decay=0.1)),
    Case("radam_decoupled", lambda ss: ss.radam(wave(0.02), weight_decay=0.1, decay="decoupled")),
    Case("radam_outside", lambda ss: ss.radam(wave(0.02), eps=1e-5, eps_mode="outside")),
    Case("radam_threshold", lambda ss: ss.radam(0.01, eps_mode="outside", threshold=4.0)),
    Case("radam_skip", lambda ss: ss.radam(0.1, fallback="skip")),
    # lion, adopt, adan
    Case("lion", lambda ss: ss.lion(0.01)),
    Case("lion_decoupled", lambda ss: ss.lion(wave(0.02), beta1=0.95, beta2=0.98, weight_decay=0.1)),
    Case(
        "lion_independent",
        lambda ss: ss.chain(ss.scale_by_lion(), ss.decay(0.01, mode="independent"), ss.descend(wave(0.02))),
    ),
    Case("adopt", lambda ss: ss.adopt(0.01)),
    Case("adopt_exponent", lambda ss: ss.adopt(wave(0.02), clip=0.1)),
    Case("adopt_unclipped", lambda ss: ss.adopt(0.01, beta2=0.99, eps=0.01, clip=None)),
    Case("adopt_coupled", lambda ss: ss.adopt(0.01, weight_decay=0.1)),
    Case("adopt_decoupled", lambda ss: ss.adopt(0.01, weight_decay=0.1, decoupled=True)),
    Case("adan", lambda ss: ss.adan(0.01)),
    Case("adan_prox", lambda ss: ss.adan(wave(0.02), eps=1e-6, weight_decay=0.1)),
    Case(
        "adan_root",
        lambda ss: ss.adan(wave(0.02), difference="1 - beta2", eps_root=1e-6, weight_decay=0.1, no_prox=True),
    ),
    Case("adan_no_prox", lambda ss: ss.adan(0.01, weight_decay=0.1, no_prox=True)),
    # ftrl
    Case("ftrl", lambda ss: ss.ftrl(0.1, z0="zeros")),  # "prox" leaves a weight without a gradient yet alone
    Case("ftrl_prox", lambda ss: ss.ftrl(0.1, beta=1.0, initial_accumulator=0.1)),
    Case("ftrl_schedule", lambda ss: ss.ftrl(wave(0.1), beta=1.0)),
    Case("ftrl_framework_sigma", lambda ss: ss.ftrl(wave(0.1), beta=1.0, framework_sigma=True, z0="zeros")),
    Case("ftrl_l1_l2", lambda ss: ss.ftrl(0.1, beta=1.0, l1=0.5, l2=0.1, z0="zeros")),
    Case(
        "ftrl_shrinkage",  # keras and TensorFlow write l2 for half of ours
        lambda ss: ss.ftrl(0.1, beta=0.5, l1=0.1, l2=0.2, l2_shrinkage=0.01, initial_accumulator=0.1, z0="zeros"),
    ),
    Case("ftrl_lr_power", lambda ss: ss.ftrl(0.1, lr_power=-0.7, initial_accumulator=0.1, z0="zeros")),
    # cautious
    Case("adamw_cautious", lambda ss: ss.adamw(0.01, weight_decay=0.1, cautious="mean")),
    Case(
        "adamw_cautious_count", lambda ss: ss.chain(ss.adamw(wave(0.02), weight_decay=0.1), ss.cautious(scale="count"))
    ),
    Case("lion_cautious", lambda ss: ss.lion(0.01, weight_decay=0.1, cautious="mean")),
    Case("lion_cautious_count", lambda ss: ss.lion(0.01, beta1=0.95, beta2=0.98, weight_decay=0.1, cautious="count")),
    Case("adopt_cautious", lambda ss: ss.chain(ss.adopt(0.01), ss.cautious())),
    Case("adopt_cautious_count", lambda ss: ss.adopt(0.01, cautious="count")),
    Case("adan_cautious", lambda ss: ss.adan(0.01, beta2=0.0, cautious="mean")),
    Case("sgd_cautious", lambda ss: ss.sgd(0.01, momentum=0.9, cautious="mean")),
    Case("sgd_nesterov_cautious", lambda ss: ss.sgd(0.01, momentum=0.9, nesterov=True, cautious="mean")),
    Case(
        "rmsprop_cautious",
        lambda ss: ss.rmsprop(
            wave(0.02), rho=0.9, eps=1e-10, eps_mode="inside", initial_accumulator=1.0, momentum=0.9, cautious="mean"
        ),
    ),
    Case("lamb_cautious", lambda ss: ss.lamb(0.01, weight_decay=0.1, cautious="mean")),
    # norms, factors, matrices
    Case("lamb", lambda ss: ss.lamb(0.01)),
    Case("lamb_decay", lambda ss: ss.lamb(wave(0.02), weight_decay=0.1)),
    Case(
        "lamb_clipped",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.lamb(0.01, weight_decay=0.1, bias_correction=False)),
    ),
    Case(
        "trust_ratio",
        lambda ss: ss.chain(ss.trust_ratio(trust_coefficient=0.5, min_norm=1.0, norm_eps=0.1), ss.descend(0.1)),
    ),
    Case("dog", lambda ss: ss.dog()),
    Case("dog_reps", lambda ss: ss.dog(wave(1.0), reps_rel=0.01, weight_decay=0.1)),
    Case("adafactor", lambda ss: ss.adafactor()),
    Case("adafactor_momentum", lambda ss: ss.adafactor(beta1=0.9, weight_decay=0.1)),
    Case("adafactor_warmup", lambda ss: ss.adafactor(warmup_init=True)),
    Case("adafactor_absolute", lambda ss: ss.adafactor(wave(0.05), relative_step=False, scale_parameter=False)),
    Case(
        "adafactor_scaled", lambda ss: ss.adafactor(wave(0.1), relative_step=False, decay_rate=0.6, clip_threshold=0.5)
    ),
    Case("adafactor_cautious", lambda ss: ss.adafactor(beta1=0.9, cautious="mean")),
    Case("adafactor_cautious_count", lambda ss: ss.adafactor(beta1=0.9, cautious="count")),
    Case("muon", lambda ss: ss.muon(), problem="matrix"),
    Case("muon_decay", lambda ss: ss.muon(wave(0.02), momentum=0.9, weight_decay=0.1), problem="matrix"),
    Case("muon_match_rms", lambda ss: ss.muon(0.02, nesterov=False, scale="match_rms"), problem="matrix"),
    Case("muon_in_out", lambda ss: ss.muon(wave(0.02), bias_correction=True, layout="in_out"), problem="matrix"),
    Case(
        "muon_coefficients",
        lambda ss: ss.muon(
            0.02, nesterov=False, bias_correction=True, ns_coeffs=DION, scale="match_rms", layout="in_out"
        ),
        problem="matrix",
    ),
    Case("muon_spectral", lambda ss: ss.muon(scale="spectral"), problem="matrix"),
    Case("muon_unscaled", lambda ss: ss.muon(scale="none"), problem="matrix"),
    Case("muon_aux", lambda ss: ss.muon(0.02, aux_lr=0.003, weight_decay=0.1)),
    Case("shampoo", lambda ss: ss.shampoo(0.1), problem="matrix"),
    # modifiers
    Case("clip_sgd", lambda ss: ss.chain(ss.clip_by_global_norm(10.0), ss.sgd(0.02, momentum=0.9))),
    Case("clip_adamw", lambda ss: ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.01, weight_decay=0.1))),
    Case(
        "clip_nonfinite",
        lambda ss: ss.chain(ss.clip_by_global_norm(1.0, nonfinite="torch"), ss.sgd(0.1)),
        problem="bursts",
    ),
    Case("accumulate_adam", lambda ss: ss.chain(ss.accumulate(4), ss.adam(0.01))),
    Case("accumulate_adamw_schedule", lambda ss: ss.chain(ss.accumulate(3), ss.adamw(wave(0.02), weight_decay=0.1))),
    Case("accumulate_sum", lambda ss: ss.chain(ss.accumulate(3, mean=False), ss.sgd(0.01, momentum=0.9))),
    Case("skip_nonfinite", lambda ss: ss.chain(ss.skip_nonfinite(3), ss.adam(wave(0.02))), problem="bursts"),
    Case("skip_nonfinite_gives_up", lambda ss: ss.chain(ss.skip_nonfinite(2), ss.adam(0.01)), problem="bursts"),
    Case("lookahead", lambda ss: ss.chain(ss.adam(0.01), ss.lookahead())),
    Case("lookahead_reset", lambda ss: ss.chain(ss.adam(0.01), ss.lookahead(k=6, alpha=0.8, reset="state"))),
]
