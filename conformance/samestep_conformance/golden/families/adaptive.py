"""Adaptive step sizes: adagrad, rmsprop, adam and its kin."""

from ..case import Case
from ..oracles import Oracle, adopt, call, keras, optax, optimi, po, power, timm, torch
from ..problem import wave

CASES = [
    Case("adagrad", lambda ss: ss.adagrad(0.1), torch("Adagrad", 0.1)),
    Case(
        "adagrad_decay",
        lambda ss: ss.adagrad(wave(0.1), lr_decay=0.1, initial_accumulator=0.1, weight_decay=0.1),
        torch("Adagrad", wave(0.1), lr_decay=0.1, initial_accumulator_value=0.1, weight_decay=0.1),
    ),
    Case(
        "adagrad_inside_optax",
        lambda ss: ss.adagrad(0.1, eps=1e-7, eps_mode="inside", initial_accumulator=0.1),
        optax("adagrad", 0.1, initial_accumulator_value=0.1, eps=1e-7),
    ),
    Case(
        "adagrad_inside_keras",
        lambda ss: ss.adagrad(wave(0.1), eps=1e-3, eps_mode="inside", initial_accumulator=0.1),
        keras("Adagrad", wave(0.1), initial_accumulator_value=0.1, epsilon=1e-3),
    ),
    Case("rmsprop", lambda ss: ss.rmsprop(0.01), torch("RMSprop", 0.01)),
    Case(
        "rmsprop_momentum",
        lambda ss: ss.rmsprop(wave(0.01), momentum=0.9, weight_decay=0.1),
        torch("RMSprop", wave(0.01), momentum=0.9, weight_decay=0.1),
    ),
    Case(
        "rmsprop_centered",
        lambda ss: ss.rmsprop(0.01, centered=True, momentum=0.9),
        torch("RMSprop", 0.01, centered=True, momentum=0.9),
    ),
    Case(
        "rmsprop_centered_inside",
        lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-7, centered=True, eps_mode="inside"),
        keras("RMSprop", 0.01, rho=0.9, epsilon=1e-7, centered=True),
    ),
    Case(
        "rmsprop_inside_optax",
        lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-8, eps_mode="inside"),
        optax("rmsprop", 0.01, decay=0.9, eps=1e-8),
    ),
    Case(
        "rmsprop_inside_keras",
        lambda ss: ss.rmsprop(wave(0.01), rho=0.9, eps=1e-7, eps_mode="inside"),
        keras("RMSprop", wave(0.01), rho=0.9, epsilon=1e-7),
    ),
    Case(
        "rmsprop_initial",
        lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-10, eps_mode="inside", initial_accumulator=1.0),
        optax("rmsprop", 0.01, decay=0.9, eps=1e-10, initial_scale=1.0),
    ),
    Case(
        "rmsprop_debiased",
        lambda ss: ss.rmsprop(0.01, rho=0.9, eps=1e-6, bias_correction=True),
        optax("rmsprop", 0.01, decay=0.9, eps=1e-6, eps_in_sqrt=False, bias_correction=True),
    ),
    Case(
        "rmsprop_debiased_inside",  # eps as large as the rounding of v - mean^2 asks for, which is 0 at first
        lambda ss: ss.rmsprop(0.1, rho=0.9, eps=1.0, eps_mode="inside", centered=True, bias_correction=True),
        optax("rmsprop", 0.1, decay=0.9, eps=1.0, centered=True, bias_correction=True),
    ),
    Case(
        "rmsprop_velocity_optax",
        lambda ss: ss.rmsprop(wave(0.01), rho=0.9, momentum=0.9, form="velocity"),
        optax("rmsprop", wave(0.01), decay=0.9, eps=1e-8, eps_in_sqrt=False, momentum=0.9),
    ),
    Case(
        "rmsprop_velocity_keras",
        lambda ss: ss.rmsprop(wave(0.01), rho=0.9, eps=1e-7, eps_mode="inside", momentum=0.9, form="velocity"),
        keras("RMSprop", wave(0.01), rho=0.9, epsilon=1e-7, momentum=0.9),
    ),
    Case(
        "rmsprop_nesterov",
        lambda ss: ss.rmsprop(wave(0.01), rho=0.9, momentum=0.9, nesterov=True, form="velocity"),
        optax("rmsprop", wave(0.01), decay=0.9, eps=1e-8, eps_in_sqrt=False, momentum=0.9, nesterov=True),
    ),
    Case("adam", lambda ss: ss.adam(0.01), torch("Adam", 0.01)),
    Case(
        "adam_schedule",
        lambda ss: ss.adam(wave(0.02), beta1=0.8, beta2=0.99, eps=1e-6),
        torch("Adam", wave(0.02), betas=(0.8, 0.99), eps=1e-6),
    ),
    Case("adam_coupled", lambda ss: ss.adam(0.01, weight_decay=0.1), torch("Adam", 0.01, weight_decay=0.1)),
    Case(
        "adam_maximize",
        lambda ss: ss.adam(0.01, weight_decay=0.1, maximize=True),
        torch("Adam", 0.01, weight_decay=0.1, maximize=True),
    ),
    Case("adam_hat", lambda ss: ss.adam(wave(0.02), eps=1e-5, eps_mode="hat"), keras("Adam", wave(0.02), epsilon=1e-5)),
    Case(
        "adam_inside",
        lambda ss: ss.adam(0.01, eps=1e-6, eps_mode="inside"),
        optax("adam", 0.01, eps=0.0, eps_root=1e-6),
    ),
    Case(
        "adam_eps_root", lambda ss: ss.adam(0.01, eps=1e-5, eps_root=1e-6), optax("adam", 0.01, eps=1e-5, eps_root=1e-6)
    ),
    Case(
        "adam_biased",
        lambda ss: ss.adam(0.01, eps=1e-6, bias_correction=False),
        timm("lamb.Lamb", 0.01, bias_correction=False, weight_decay=0.0, max_grad_norm=None),
    ),
    Case(
        "adam_amsgrad_post",
        lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="post"),
        torch("Adam", 0.01, betas=(0.9, 0.9), amsgrad=True),
    ),
    Case(
        "adam_amsgrad_post_hat",
        lambda ss: ss.adam(0.01, beta2=0.9, eps=1e-5, eps_mode="hat", amsgrad="post"),
        keras("Adam", 0.01, beta_2=0.9, epsilon=1e-5, amsgrad=True),
    ),
    Case(
        "adam_amsgrad_pre",
        lambda ss: ss.adam(wave(0.02), beta2=0.9, amsgrad="pre"),
        optax("amsgrad", wave(0.02), b2=0.9),
    ),
    Case(
        "adam_amsgrad_paper",
        lambda ss: ss.adam(0.01, beta2=0.9, amsgrad="paper"),
        optax("amsgrad", 0.01, b2=0.9, bias_correction_mu=False, bias_correction_nu=False),
    ),
    Case("adamw", lambda ss: ss.adamw(0.01, weight_decay=0.1), torch("AdamW", 0.01, weight_decay=0.1)),
    Case("adamw_default", lambda ss: ss.adamw(), torch("AdamW", 1e-3)),
    Case(
        "adamw_schedule",
        lambda ss: ss.adamw(wave(0.02), weight_decay=0.1),
        torch("AdamW", wave(0.02), weight_decay=0.1),
    ),
    Case(
        "adamw_eps_root",
        lambda ss: ss.adamw(wave(0.02), weight_decay=0.1, eps_root=1e-6),
        optax("adamw", wave(0.02), weight_decay=0.1, eps_root=1e-6),
    ),
    Case(
        "adamw_hat",
        lambda ss: ss.adamw(0.01, eps=1e-5, eps_mode="hat", weight_decay=0.1),
        keras("AdamW", 0.01, epsilon=1e-5, weight_decay=0.1),
    ),
    Case(
        "adamw_amsgrad",
        lambda ss: ss.adamw(0.01, beta2=0.9, weight_decay=0.1, amsgrad="post"),
        torch("AdamW", 0.01, betas=(0.9, 0.9), weight_decay=0.1, amsgrad=True),
    ),
    Case("nadam", lambda ss: ss.nadam(0.01), torch("NAdam", 0.01)),
    Case(
        "nadam_coupled",
        lambda ss: ss.nadam(wave(0.02), psi=0.01, weight_decay=0.1),
        torch("NAdam", wave(0.02), momentum_decay=0.01, weight_decay=0.1),
    ),
    Case(
        "nadam_decoupled",
        lambda ss: ss.nadam(0.01, weight_decay=0.1, decay="decoupled"),
        torch("NAdam", 0.01, weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Case("nadam_keras", lambda ss: ss.nadam(0.01, eps=1e-7, psi=1.0), keras("Nadam", 0.01, epsilon=1e-7)),
    Case(
        "nadam_constant",
        lambda ss: ss.nadam(wave(0.02), schedule="none", eps_root=1e-6),
        optax("nadam", wave(0.02), eps_root=1e-6),
    ),
    Case("radam", lambda ss: ss.radam(0.01), torch("RAdam", 0.01)),
    Case(
        "radam_coupled",
        lambda ss: ss.radam(wave(0.02), beta2=0.99, eps=1e-6, weight_decay=0.1),
        torch("RAdam", wave(0.02), betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
    ),
    Case(
        "radam_decoupled",
        lambda ss: ss.radam(wave(0.02), weight_decay=0.1, decay="decoupled"),
        torch("RAdam", wave(0.02), weight_decay=0.1, decoupled_weight_decay=True),
    ),
    Case(
        "radam_outside",
        lambda ss: ss.radam(wave(0.02), eps=1e-5, eps_mode="outside"),
        optax("radam", wave(0.02), eps=1e-5),
    ),
    Case(
        "radam_threshold",
        lambda ss: ss.radam(0.01, eps_mode="outside", threshold=4.0),
        optax("radam", 0.01, threshold=4.0),
    ),
    Case(
        "radam_nesterov",
        lambda ss: ss.radam(wave(0.02), eps=1e-6, eps_mode="inside", nesterov=True),
        optax("radam", wave(0.02), eps=0.0, eps_root=1e-6, nesterov=True),
    ),
    Case(
        "radam_skip",
        lambda ss: ss.radam(0.1, weight_decay=0.1, decay="decoupled", fallback="skip", strict=False),
        po("RAdam", 0.1, weight_decay=0.1, weight_decouple=True, degenerated_to_sgd=False),
    ),
    Case("adopt", lambda ss: ss.adopt(0.01), adopt("ADOPT", 0.01)),
    Case(
        "adopt_exponent", lambda ss: ss.adopt(wave(0.02), clip=0.1), adopt("ADOPT", wave(0.02), clip_lambda=power(0.1))
    ),
    Case(
        "adopt_unclipped",
        lambda ss: ss.adopt(0.01, beta2=0.99, eps=0.01, clip=None),
        adopt("ADOPT", 0.01, betas=(0.9, 0.99), eps=0.01, clip_lambda=None),
    ),
    Case("adopt_coupled", lambda ss: ss.adopt(0.01, weight_decay=0.1), adopt("ADOPT", 0.01, weight_decay=0.1)),
    Case(
        "adopt_decoupled",
        lambda ss: ss.adopt(0.01, weight_decay=0.1, decoupled=True),
        adopt("ADOPT", 0.01, weight_decay=0.1, decouple=True),
    ),
    Case(
        "adopt_nesterov",
        lambda ss: ss.adopt(wave(0.02), nesterov=True),
        optax("contrib.adopt", wave(0.02), nesterov=True),
    ),
    Case("adan", lambda ss: ss.adan(0.01), po("Adan", 0.01)),
    Case(
        "adan_prox",
        lambda ss: ss.adan(wave(0.02), eps=1e-6, weight_decay=0.1),
        optimi("Adan", wave(0.02), weight_decay=0.1, foreach=False, triton=False),
    ),
    Case(
        "adan_root",
        lambda ss: ss.adan(wave(0.02), difference="1 - beta2", eps_root=1e-6, weight_decay=0.1, no_prox=True),
        optax("adan", wave(0.02), eps_root=1e-6, weight_decay=0.1),
    ),
    Case(
        "adan_no_prox",
        lambda ss: ss.chain(ss.clip_by_global_norm(25.0, clip_eps=1e-8), ss.adan(0.01, weight_decay=0.1, no_prox=True)),
        Oracle(
            call(
                "pytorch_optimizer.Adan",
                lr=0.01,
                weight_decay=0.1,
                weight_decouple=True,
                max_grad_norm=25.0,
                foreach=False,
            ),
            patches={"torch.Tensor.float": "torch.Tensor.double"},  # of the norm
        ),
    ),
]
