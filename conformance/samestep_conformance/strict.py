"""array-api-strict as a backend: the standard and nothing but it, evaluated."""

from samestep.evaluate import Evaluated


class Strict(Evaluated):
    """Its arrays check every call, which takes long."""

    slow = "step"


backend = Strict("array_api_strict", "strict")
