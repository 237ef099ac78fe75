"""array-api-strict as a backend: the standard and nothing but it, evaluated."""

from samestep.evaluate import Evaluated

backend = Evaluated("array_api_strict", "strict")
