"""More optimizers that treat every coordinate alone."""

from ..case import Case
from ..oracles import call, keras, maker, optax, po, timm, torch
from ..problem import wave

adabound, torch_optimizer = maker("adabound"), maker("torch_optimizer")
adabelief = maker("adabelief_pytorch", print_change_log=False)

CASES = [
    Case("adadelta", lambda ss: ss.adadelta(), torch("Adadelta", 1.0)),
    Case(
        "adadelta_coupled",
        lambda ss: ss.adadelta(wave(0.5), rho=0.95, eps=1e-4, weight_decay=0.1),
        torch("Adadelta", wave(0.5), rho=0.95, eps=1e-4, weight_decay=0.1),
    ),
    Case(
        "adadelta_decoupled",
        lambda ss: ss.adadelta(wave(0.5), rho=0.95, eps=1e-7, weight_decay=0.1, decay="decoupled"),
        keras("Adadelta", wave(0.5), rho=0.95, epsilon=1e-7, weight_decay=0.1),
    ),
    Case("adamax", lambda ss: ss.adamax(0.01), torch("Adamax", 0.01)),
    Case(
        "adamax_coupled",
        lambda ss: ss.adamax(wave(0.02), beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
        torch("Adamax", wave(0.02), betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1),
    ),
    Case(
        "adamax_decoupled",
        lambda ss: ss.adamax(wave(0.02), eps=1e-3, weight_decay=0.1, decay="decoupled"),
        optax("adamaxw", wave(0.02), eps=1e-3, weight_decay=0.1),
    ),
    Case(
        "adamax_outside",
        lambda ss: ss.adamax(wave(0.02), beta2=0.9, eps=1e-3, eps_mode="outside"),
        keras("Adamax", wave(0.02), beta_2=0.9, epsilon=1e-3),
    ),
    Case("yogi", lambda ss: ss.yogi(), torch_optimizer("Yogi", 1e-2)),
    Case(
        "yogi_initial",
        lambda ss: ss.yogi(wave(0.02), beta1=0.8, beta2=0.9, eps=1e-4, initial_accumulator=0.1, weight_decay=0.1),
        torch_optimizer("Yogi", wave(0.02), betas=(0.8, 0.9), eps=1e-4, initial_accumulator=0.1, weight_decay=0.1),
    ),
    Case(
        "yogi_optax",
        lambda ss: ss.yogi(wave(0.02), weight_decay=0.1, decay="decoupled"),
        optax(
            "chain",
            call("optax.scale_by_yogi"),
            call("optax.add_decayed_weights", 0.1),
            call("optax.scale_by_learning_rate", wave(0.02)),
        ),
    ),
    Case("adabelief", lambda ss: ss.adabelief(), adabelief("AdaBelief.AdaBelief", 1e-3, rectify=False)),
    Case(
        "adabelief_optax",
        lambda ss: ss.adabelief(wave(0.02), beta2=0.9, eps=1e-6),
        optax("adabelief", wave(0.02), b2=0.9, eps=1e-6, eps_root=1e-6),
    ),
    Case(
        "adabelief_decoupled",
        lambda ss: ss.adabelief(wave(0.02), eps=1e-8, weight_decay=0.1, amsgrad="post"),
        adabelief("AdaBelief.AdaBelief", wave(0.02), eps=1e-8, weight_decay=0.1, amsgrad=True, rectify=False),
    ),
    Case(
        "adabelief_independent",
        lambda ss: ss.adabelief(wave(0.02), weight_decay=0.01, decay="independent", rectify=True),
        adabelief("AdaBelief.AdaBelief", wave(0.02), weight_decay=0.01, fixed_decay=True),
    ),
    Case(
        "adabelief_coupled",
        lambda ss: ss.adabelief(wave(0.02), weight_decay=0.1, decay="coupled", rectify=True, fallback="skip"),
        adabelief("AdaBelief.AdaBelief", wave(0.02), weight_decay=0.1, weight_decouple=False, degenerated_to_sgd=False),
    ),
    Case("adabound", lambda ss: ss.adabound(), adabound("AdaBound", 1e-3)),
    Case(
        "adabound_schedule",
        lambda ss: ss.adabound(wave(0.02), beta1=0.8, beta2=0.9, final_lr=0.5, gamma=0.1, eps=1e-6, weight_decay=0.1),
        adabound("AdaBound", wave(0.02), betas=(0.8, 0.9), final_lr=0.5, gamma=0.1, eps=1e-6, weight_decay=0.1),
    ),
    Case(
        "adabound_amsbound",
        lambda ss: ss.adabound(beta2=0.9, gamma=0.01, amsbound=True),
        adabound("AdaBound", 1e-3, betas=(0.9, 0.9), gamma=0.01, amsbound=True),
    ),
    Case("padam", lambda ss: ss.padam(amsgrad=False), po("PAdam", 0.1, partial=0.125)),
    Case(
        "padam_partial",
        lambda ss: ss.padam(wave(0.1), partial=0.2, eps=1e-3, weight_decay=0.1, amsgrad=False),
        po("PAdam", wave(0.1), partial=0.2, eps=1e-3, weight_decay=0.1),
    ),
    Case(
        "padam_amsgrad",
        lambda ss: ss.padam(0.01, partial=0.5, beta2=0.9, eps=1e-5),
        keras("Adam", 0.01, beta_2=0.9, epsilon=1e-5, amsgrad=True),
    ),
    Case("laprop", lambda ss: ss.laprop(), timm("LaProp", 4e-4)),
    Case(
        "laprop_schedule",
        lambda ss: ss.laprop(wave(0.02), beta1=0.8, beta2=0.9, eps=1e-3, weight_decay=0.1),
        timm("LaProp", wave(0.02), betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, foreach=False),
    ),
    Case("ademamix", lambda ss: ss.ademamix(), po("AdEMAMix", 1e-3)),
    Case(
        "ademamix_optax",
        lambda ss: ss.ademamix(wave(0.02), alpha=2.0),
        optax("contrib.ademamix", wave(0.02), alpha=2.0),
    ),
    Case(
        "ademamix_no_m",
        lambda ss: ss.ademamix(wave(0.02), beta1=0.0, beta2=0.99, beta3=0.98, eps=1e-4),
        po("AdEMAMix", wave(0.02), betas=(0.0, 0.99, 0.98), eps=1e-4),
    ),
    Case(
        "ademamix_warmup",
        lambda ss: ss.ademamix(wave(0.02), beta3=0.999, alpha=8.0, alpha_warmup=30, beta3_warmup=30, weight_decay=0.1),
        po(
            "AdEMAMix",
            wave(0.02),
            betas=(0.9, 0.999, 0.999),
            alpha=8.0,
            t_alpha_beta3=30,
            weight_decay=0.1,
            weight_decouple=True,
        ),
    ),
    Case(
        "simplified_ademamix",
        lambda ss: ss.simplified_ademamix(),
        optax("contrib.simplified_ademamix", 1e-5),
    ),
    Case(
        "simplified_ademamix_alpha",
        lambda ss: ss.simplified_ademamix(wave(1e-3), beta1=0.9, beta2=0.99, alpha=2.0, eps=1e-4, weight_decay=0.1),
        optax("contrib.simplified_ademamix", wave(1e-3), b1=0.9, b2=0.99, alpha=2.0, eps=1e-4, weight_decay=0.1),
    ),
]
