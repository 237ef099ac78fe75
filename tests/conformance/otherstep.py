"""A third party's distribution: a backend that is right, and one whose results are a bit off."""

import numpy as np

from samestep.evaluate import BoundEvaluated, CompiledEvaluated, Evaluated


class Off(BoundEvaluated):
    """Each entry is the neighbour of what it should be."""

    def store(self, *args):
        stored = super().store(*args).items()
        return {name: [np.asarray(np.nextafter(x, x + 1)) for x in values] for name, values in stored}


class CompiledOff(CompiledEvaluated):
    """Binds to the wrong one."""

    def bind(self, arrays, donate):
        return Off(self, arrays, donate)


class Wrong(Evaluated):
    """Compiles to the wrong one."""

    def compile(self, program, signature, shapes):
        return CompiledOff(program, signature)


right, wrong = Evaluated("numpy", "right"), Wrong("numpy", "wrong")
