"""The two update rules that are measured, and their numbers, the same for every peer."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """An optimizer by name, its hyperparameters, and how many arrays of state it keeps per parameter array."""

    name: str
    slots: int
    beta1: float
    beta2: float
    lr: float = 1e-2  # large enough that the check of the peers sees a wrong beta2 of AdamW
    weight_decay: float = 1e-2
    eps: float = 1e-8

    @property
    def reads(self) -> int:
        """Arrays read: the parameter, the gradient, the slots."""
        return self.slots + 2

    @property
    def writes(self) -> int:
        """Arrays written: the parameter and the slots."""
        return self.slots + 1


RULES = {
    "adamw": Rule("adamw", slots=2, beta1=0.9, beta2=0.999),
    "lion": Rule("lion", slots=1, beta1=0.9, beta2=0.99),
}
