"""Averages of the iterates: schedule_free."""

from ..case import Case
from ..oracles import maker
from ..problem import wave

schedulefree = maker("schedulefree", foreach=False)

CASES = [
    Case("schedule_free_sgd", lambda ss: ss.schedule_free_sgd(0.1), schedulefree("SGDScheduleFree", 0.1)),
    Case(
        "schedule_free_sgd_eval",
        lambda ss: ss.schedule_free_sgd(0.1, momentum=0.8, weight_decay=0.1, warmup=10, r=1.0),
        schedulefree("SGDScheduleFree", 0.1, momentum=0.8, weight_decay=0.1, warmup_steps=10, r=1, evaluated=True),
    ),
    Case(
        "schedule_free_sgd_schedule",
        lambda ss: ss.schedule_free_sgd(wave(0.1), weight_lr_power=1.0),
        schedulefree("SGDScheduleFree", wave(0.1), weight_lr_power=1.0),
    ),
    Case("schedule_free_adamw", lambda ss: ss.schedule_free_adamw(0.01), schedulefree("AdamWScheduleFree", 0.01)),
    Case(
        "schedule_free_adamw_eval",
        lambda ss: ss.schedule_free_adamw(0.01, weight_decay=0.1, warmup=10, r=1.0, beta1=0.8, beta2=0.99, eps=1e-4),
        schedulefree(
            "AdamWScheduleFree",
            0.01,
            weight_decay=0.1,
            warmup_steps=10,
            r=1,
            betas=(0.8, 0.99),
            eps=1e-4,
            evaluated=True,
        ),
    ),
    Case(
        "schedule_free_adamw_decay_at_z",
        lambda ss: ss.schedule_free_adamw(0.01, weight_decay=0.1, decay_at_z=True),
        schedulefree("AdamWScheduleFreeReference", 0.01, weight_decay=0.1, decay_at_z=True),
    ),
    Case(
        "schedule_free_adamw_paper",
        lambda ss: ss.schedule_free_adamw(0.01, weight_decay=0.1, warmup=5, form="paper"),
        schedulefree("AdamWScheduleFreePaper", 0.01, weight_decay=0.1, warmup_steps=5),
    ),
    Case("schedule_free_radam", lambda ss: ss.schedule_free_radam(0.01), schedulefree("RAdamScheduleFree", 0.01)),
    Case(
        "schedule_free_radam_eval",
        lambda ss: ss.schedule_free_radam(0.01, weight_decay=0.1, silent_sgd_phase=False),
        schedulefree("RAdamScheduleFree", 0.01, weight_decay=0.1, silent_sgd_phase=False, evaluated=True),
    ),
]
