"""What is shown as equations is what a step computes: the lines are evaluated in NumPy and compared with the step."""

import re
from functools import cache

import numpy as np
import pytest

import samestep as ss
from samestep.equations import PRODUCT, Equations, Plain, Text, equations
from samestep.trace.ops import FREE
from samestep_conformance.golden.families import CASES
from samestep_conformance.golden.problem import PROBLEMS

STEPS = 4
SAME = ("sqrt", "sign", "abs", "where", "exp", "log", "expm1", "log1p", "isfinite", "floor", "sum", "count_nonzero")
FUNCTIONS = {name: getattr(np, name) for name in (*SAME, "logical_not", "remainder", "floor_divide")}
FUNCTIONS |= {"max": np.maximum, "min": np.minimum, "both": np.logical_and, "either": np.logical_or}
FUNCTIONS |= {"norm": lambda x: np.sqrt(np.sum(x * x))}
MATRICES = {"matmul", "matrix_transpose"}


class Code(Plain):
    """The same lines, as Python: the brackets are those of the plain form."""

    def symbol(self, name, when=""):
        return re.sub(r"\W", "_", super().symbol(name)) + ("_new" if when == "new" else "")

    def power(self, base, exponent):
        return Text(super().power(base, exponent).words.replace("^", "**"))

    def product(self, factors):
        return Text(" * ".join(self.inside(f, PRODUCT) for f in factors), PRODUCT)

    def transposed(self, x):
        return Text(f"({x.words}).T")

    def matrix_product(self, a, b):
        return Text(f"({a.words}) @ ({b.words})", PRODUCT)

    def choice(self, condition, yes, no):
        return Text(f"where({condition.words}, {yes.words}, {no.words})")

    def compared(self, sign, a, b):
        words = {"and": "both", "or": "either"}
        if sign in words:
            return Text(f"{words[sign]}({a.words}, {b.words})")
        return super().compared("==" if sign == "=" else sign, a, b)


def structures():
    """One case for each program without totals, numbers of the leaf aside; its matrices are only multiplied."""
    seen = {}
    for case in CASES:
        optimizer = case.ours(ss)
        chain = optimizer.chains[0]
        program = chain.program((5, 4))
        plain = {node.op for node in program.nodes if node.op in FREE} <= MATRICES
        plain = plain and PROBLEMS[case.problem].params()["w"].ndim == 2
        known = plain and not program.totals and not program.givens and len(optimizer.chains) == 1
        inner = any(
            node.op == "number" and node.args[0].op != "t" and callable(chain.numbers[str(node.attr)])
            for node in program.nodes
        )  # a schedule behind an inner clock, which is not asked here
        if known and not inner and not any(node.op in ("random_bits", "path") for node in program.nodes):
            seen.setdefault(chain.structure, case)
    return list(seen.values())


@pytest.mark.parametrize("case", structures(), ids=lambda case: case.name)
def test_the_lines_compute_the_step(case):
    optimizer, problem = case.ours(ss), PROBLEMS[case.problem]
    params = {"w": problem.params()["w"]}
    code = str(Equations(optimizer.chains[0].program(params["w"].shape), Code()))
    state = optimizer.init(params)
    with ss.use_backend("numpy"):
        for t in range(1, STEPS + 1):
            g = problem.gradient(problem.params() | params, t)["w"]
            names = {k.replace(".", "_"): v["w"] if isinstance(v, dict) else v for k, v in state.items()}
            names |= {k.replace(".", "_"): v for k, v in optimizer.hyperparameters(t - 1).items()}
            names |= {k: optimizer.chains[0].at_leaf(k, "w", params["w"].shape) for k in optimizer.chains[0].per_leaf}
            names |= {"p": params["w"], "g": g, "t": float(t), "size": g.size, "dim0": 5}
            with np.errstate(all="ignore"):
                exec(code, dict(FUNCTIONS), names)
            params, state = optimizer.step(params, {"w": g}, state)
            np.testing.assert_allclose(names["p_new"], params["w"], rtol=1e-13, atol=1e-15)
            for slot, now in state.items():
                if slot != "step":
                    now = now["w"] if isinstance(now, dict) else now
                    np.testing.assert_allclose(names[slot.replace(".", "_") + "_new"], now, rtol=1e-13, atol=1e-300)


def test_plain_and_latex():
    program = ss.adamw().chains[0].program((3,))
    assert "m' = beta1 m + (1 - beta1) g\n" in equations(program)
    latex = equations(program, latex=True)
    assert latex.startswith("\\begin{align*}\n") and latex.endswith("\n\\end{align*}")
    assert r"v_{t} &= \beta_{2} \, v_{t-1} + \left(1 - \beta_{2}\right) \, {g_{t}}^{2}" in latex
    assert latex.count("{") == latex.count("}") and latex.count(r"\left") == latex.count(r"\right")


@pytest.mark.parametrize(
    "case", [*structures(), *(c for c in CASES if c.name in ("shampoo", "soap"))], ids=lambda case: case.name
)
def test_latex_is_typeset(case):
    """By matplotlib's own reader of formulas, which knows a part of TeX."""
    latex = equations(case.ours(ss).chains[0].program((5, 4)), latex=True)
    for row in latex.split("\n")[1:-1]:
        row = row.removesuffix(" \\\\").replace("&", "")
        typeset(re.sub(r"\\begin\{cases\}|\\end\{cases\}|\\\\|\\text\{(if|else)\}", " ", row))


@cache
def typeset(row):
    """Optimizers share most of their lines."""
    from matplotlib.mathtext import MathTextParser

    MathTextParser("agg").parse(f"${row}$")
