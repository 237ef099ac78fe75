"""The equations of a Program: its graph read back as lines of maths, plain or LaTeX.

A value that is used more than once gets a line of its own, so what is printed is what every backend computes, only the
order of factors aside. `m'` is a slot after the step, `m` before; in LaTeX they are m_t and m_{t-1}.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from .trace.graph import Node, Program, reachable
from .trace.ops import FREE

LOOSE, SUM, QUOTIENT, PRODUCT, POWER, ATOM = range(6)  # how tightly an expression binds

GREEK = {
    "lr": r"\eta",
    "eps": r"\varepsilon",
    "weight_decay": r"\lambda",
    "momentum": r"\mu",
    "rho": r"\rho",
    "psi": r"\psi",
    "gamma": r"\gamma",
    "alpha": r"\alpha",
    "lambda": r"\lambda",
    "p": r"\theta",
    "grad": "g",
}
COMPARED = {"less": "<", "less_equal": "<=", "greater": ">", "greater_equal": ">=", "equal": "==", "not_equal": "!="}
JOINED = {"logical_and": "and", "logical_or": "or"}
QUIET = {"full_like"}  # what says only a shape
FACTORS = {"eigh": ("values", "vectors"), "qr": ("q", "r"), "svd": ("u", "s", "vh")}  # what a factorisation consists of


class Text(NamedTuple):
    """An expression and how tightly it binds."""

    words: str
    binds: int = ATOM


class Plain:
    """Maths in one line of characters."""

    def symbol(self, name: str, when: str = "") -> str:
        """A slot, a hyperparameter, an input; `when` is "old" or "new" for what a step changes."""
        return ("g" if name == "grad" else name) + ("'" if when == "new" else "")

    def quotient(self, above: Text, below: Text) -> Text:
        """A fraction."""
        return Text(f"{self.inside(above, QUOTIENT)} / {self.inside(below, POWER)}", QUOTIENT)

    def root(self, x: Text) -> Text:
        """A square root."""
        return Text(f"sqrt({x.words})")

    def power(self, base: Text, exponent: Text) -> Text:
        """A power."""
        return Text(f"{self.inside(base, ATOM)}^{self.inside(exponent, ATOM)}", POWER)

    def size(self, x: Text) -> Text:
        """The absolute value."""
        return Text(f"abs({x.words})")

    def transposed(self, x: Text) -> Text:
        """A matrix with its axes swapped."""
        return Text(f"{self.inside(x, ATOM)}^T", POWER)

    def matrix_product(self, a: Text, b: Text) -> Text:
        """The product of matrices; entries are multiplied side by side."""
        return Text(f"{self.inside(a, PRODUCT)} @ {self.inside(b, POWER)}", QUOTIENT)

    def norm(self, x: Text) -> Text:
        """The root of the sum of squares."""
        return Text(f"norm({x.words})")

    def call(self, name: str, arguments: Sequence[Text]) -> Text:
        """A function."""
        return Text(f"{name}({', '.join(a.words for a in arguments)})")

    def choice(self, condition: Text, yes: Text, no: Text) -> Text:
        """One value where a condition holds, another elsewhere."""
        chosen = f"{self.inside(yes, SUM)} if {self.inside(condition, SUM)} else {self.inside(no, SUM)}"
        return Text(chosen, LOOSE)

    def compared(self, sign: str, a: Text, b: Text) -> Text:
        """A comparison."""
        return Text(f"{self.inside(a, SUM)} {sign} {self.inside(b, SUM)}", LOOSE)

    def product(self, factors: Sequence[Text]) -> Text:
        """Factors side by side."""
        return Text(" ".join(self.inside(f, PRODUCT if i == 0 else POWER) for i, f in enumerate(factors)), PRODUCT)

    def inside(self, x: Text, least: int) -> str:
        """In brackets, if it binds less tightly."""
        return x.words if x.binds >= least else f"({x.words})"

    def line(self, name: str, x: Text) -> str:
        """One equation."""
        return f"{name} = {x.words}"

    def temporary(self, letter: str, number: int) -> str:
        """A value with no name of its own."""
        return f"{letter}{number}"

    def joined(self, lines: Sequence[str]) -> str:
        """All equations."""
        return "\n".join(lines)


class Latex(Plain):
    """Maths for LaTeX, one `align*`."""

    def symbol(self, name: str, when: str = "") -> str:
        stem, _, digits = re.fullmatch(r"(.*?)(_?)(\d*)", name).groups()  # type: ignore[union-attr]
        greek = GREEK.get(name) or (GREEK.get(stem) or (rf"\{stem}" if stem == "beta" else ""))
        if not greek:
            greek = stem if len(stem) == 1 else rf"\mathrm{{{stem}}}".replace("_", r"\_")
        indices = ([digits] if digits and GREEK.get(name) is None else []) + {
            "old": ["t-1"], "new": ["t"], "now": ["t"]
        }.get(when, [])  # fmt: skip
        return f"{greek}_{{{','.join(indices)}}}" if indices else greek

    def quotient(self, above: Text, below: Text) -> Text:
        return Text(rf"\frac{{{above.words}}}{{{below.words}}}", POWER)

    def root(self, x: Text) -> Text:
        return Text(rf"\sqrt{{{x.words}}}")

    def power(self, base: Text, exponent: Text) -> Text:
        held = base.words if base.binds == ATOM and "^" not in base.words else rf"\left({base.words}\right)"
        return Text(f"{{{held}}}^{{{exponent.words}}}", POWER)

    def size(self, x: Text) -> Text:
        return Text(rf"\left|{x.words}\right|")

    def transposed(self, x: Text) -> Text:
        return self.power(x, Text(r"\top"))

    def matrix_product(self, a: Text, b: Text) -> Text:
        return Text(rf"{self.inside(a, PRODUCT)} \cdot {self.inside(b, POWER)}", QUOTIENT)

    def norm(self, x: Text) -> Text:
        return Text(rf"\left\|{x.words}\right\|")

    def call(self, name: str, arguments: Sequence[Text]) -> Text:
        word = rf"\{name}" if name in ("exp", "log", "max", "min", "sin", "cos", "tanh") else self._word(name)
        return Text(rf"{word}\left({', '.join(a.words for a in arguments)}\right)")

    @staticmethod
    def _word(name: str) -> str:
        return r"\operatorname{" + name.replace("_", r"\_") + "}"

    def choice(self, condition: Text, yes: Text, no: Text) -> Text:
        rows = rf"{yes.words} & \text{{if }} {condition.words} \\ {no.words} & \text{{else}}"
        return Text(rf"\begin{{cases}} {rows} \end{{cases}}")

    def compared(self, sign: str, a: Text, b: Text) -> Text:
        signs = {"==": "=", "<=": r"\leq", ">=": r"\geq", "!=": r"\neq", "and": r"\wedge", "or": r"\vee"}
        return super().compared(signs.get(sign, sign), a, b)

    def product(self, factors: Sequence[Text]) -> Text:
        return Text(r" \, ".join(self.inside(f, PRODUCT) for f in factors), PRODUCT)

    def inside(self, x: Text, least: int) -> str:
        return x.words if x.binds >= least else rf"\left({x.words}\right)"

    def line(self, name: str, x: Text) -> str:
        return f"{name} &= {x.words}"

    def temporary(self, letter: str, number: int) -> str:
        return f"{letter}_{{({number})}}"

    def joined(self, lines: Sequence[str]) -> str:
        rows = " \\\\\n".join(lines)
        return f"\\begin{{align*}}\n{rows}\n\\end{{align*}}"


class Equations:
    """The lines of one program."""

    def __init__(self, program: Program, style: Plain) -> None:
        self.style = style
        self.program = program
        nodes = reachable(program.outputs.values())
        uses = Counter(arg for node in nodes for arg in node.args)
        self.names: dict[Node, str] = {}
        self.lines: list[tuple[int, str, Node]] = []
        for name, node in program.outputs.items():
            if node.args and node not in self.names:
                self.names[node] = style.symbol(name, "new")
            self.lines.append((node.index, style.symbol(name, "new"), node))
        numbers = {"c": 0, "x": 0}
        for node in nodes:
            if node in self.names or not node.args or node.op in QUIET or node.op == "number":
                continue
            if uses[node] > 1 and self._size(node, uses) > 2:
                letter = "x" if node.is_array else "c"
                numbers[letter] += 1
                self.names[node] = style.temporary(letter, numbers[letter])
                self.lines.append((node.index, self.names[node], node))

    def _size(self, node: Node, uses: Counter) -> int:
        """How many values an expression is made of, as far as it is written out."""
        if not node.args or node.op == "number":
            return 1
        own = node.op in FREE and not _turned(node)
        return own + sum(self._size(arg, uses) if uses[arg] < 2 or _turned(arg) else 1 for arg in node.args)

    def __str__(self) -> str:
        ordered = sorted(self.lines, key=lambda line: line[0])
        return self.style.joined([self.style.line(name, self._written(name, node)) for _, name, node in ordered])

    def _written(self, name: str, node: Node) -> Text:
        known = self.names.get(node)
        return self.expression(node) if known is None or known == name else Text(known)

    def of(self, node: Node) -> Text:
        """A value where it is used."""
        return Text(self.names[node]) if node in self.names else self.expression(node)

    def expression(self, node: Node) -> Text:
        """A value, written out."""
        op, style = node.op, self.style
        if op in SPELLED:
            return SPELLED[op](self, node)
        if op == "const":
            return _number(node.attr)  # type: ignore[arg-type]
        if op in ("input", "state_number", "state_scalar"):
            return Text(style.symbol(str(node.attr), "now" if node.attr == "grad" else "old"))
        if op in ("number", "given", "per_leaf"):
            return Text(style.symbol(str(node.attr)))
        if op == "t":
            return Text("t")
        if op == "dim":
            return Text(style.symbol(f"dim{node.attr}"))
        if op in COMPARED:
            return style.compared(COMPARED[op], *map(self.of, node.args))
        if op in JOINED:
            return style.compared(JOINED[op], *map(self.of, node.args))
        if op in QUIET:
            return self.of(node.args[1])
        arguments = [self.of(a) for a in node.args]
        if not arguments:
            return Text(style.symbol(op))
        name, _, axis = op.partition("_axis")
        shown = [] if node.attr is None or op == "random_bits" else [Text(_attribute(op, node.attr))]
        return style.call(name if axis == "" else op, [*arguments, *shown])

    # -- operations that have a way of their own to be written
    def sum_of(self, node: Node) -> Text:
        """a + b and a - b."""
        a, b = map(self.of, node.args)
        if b.words == "0":
            return a
        if node.op == "add":
            return Text(f"{self.style.inside(a, SUM)} + {self.style.inside(b, SUM)}", SUM)
        return Text(f"{self.style.inside(a, SUM)} - {self.style.inside(b, PRODUCT)}", SUM)

    def product_of(self, node: Node) -> Text:
        """Factors, equal ones as a power."""
        factors = Counter(self._factors(node, node))
        if any(factor.op == "const" and factor.attr == 0 for factor in factors):
            return Text("0")
        written = [
            self.of(factor) if n == 1 else self.style.power(self.of(factor), Text(str(n)))
            for factor, n in factors.items()
        ]
        return written[0] if len(written) == 1 else self.style.product(written)

    def _factors(self, node: Node, top: Node) -> Iterable[Node]:
        for arg in node.args:
            if arg.op == "multiply" and arg not in self.names:
                yield from self._factors(arg, top)
            else:
                yield arg

    def negative_of(self, node: Node) -> Text:
        """-a."""
        return Text(f"-{self.style.inside(self.of(node.args[0]), QUOTIENT)}", SUM)

    def root_of(self, node: Node) -> Text:
        """A root; of a sum of squares, a norm."""
        (x,) = node.args
        if x.op == "sum_squares" and x not in self.names:
            return self.style.norm(self.of(x.args[0]))
        return self.style.root(self.of(x))

    def factor_of(self, node: Node) -> Text:
        """One of the arrays that a factorisation gives."""
        (x,) = node.args
        return self.style.call(FACTORS[x.op][int(str(node.attr))], [self.of(x)])

    def permuted(self, node: Node) -> Text:
        """Axes in another order: none, or those of a matrix, or a function of them."""
        (x,), axes = node.args, node.attr
        if axes in ((0,), (0, 1)):
            return self.of(x)
        if not _turned(node):
            return self.style.call("permute_dims", [self.of(x), Text(_attribute(node.op, axes))])
        back = _turned(x) and x not in self.names
        return self.of(x.args[0]) if back else self.style.transposed(self.of(x))

    def squares_of(self, node: Node) -> Text:
        """The sum of squares over a leaf."""
        return self.style.power(self.style.norm(self.of(node.args[0])), Text("2"))


def _turned(node: Node) -> bool:
    """Whether it is a matrix with its axes swapped."""
    return node.op == "matrix_transpose" or (node.op == "permute_dims" and node.attr == (1, 0))


def _number(value: float | bool) -> Text:
    text = str(value).lower() if isinstance(value, bool) else _short(value)
    return Text(text, SUM if text.startswith("-") else ATOM)


def _short(value: float) -> str:
    """As few digits as say it."""
    text = f"{value:.12g}"
    return text if float(text) == value or value != value else repr(value)


def _attribute(op: str, attr: object) -> str:
    if op.endswith("_axis"):
        axes = attr[0]  # type: ignore[index]
        return f"axis={axes[0] if len(axes) == 1 else axes}"
    return f"({', '.join(map(str, attr))})" if isinstance(attr, tuple) else str(attr)


def _called(name: str) -> Callable[[Equations, Node], Text]:
    return lambda self, node: self.style.call(name, [self.of(a) for a in node.args])


SPELLED: dict[str, Callable[[Equations, Node], Text]] = {
    "add": Equations.sum_of,
    "subtract": Equations.sum_of,
    "multiply": Equations.product_of,
    "negative": Equations.negative_of,
    "divide": lambda self, node: self.style.quotient(*map(self.of, node.args)),
    "pow": lambda self, node: self.style.power(*map(self.of, node.args)),
    "sqrt": Equations.root_of,
    "matmul": lambda self, node: self.style.matrix_product(*map(self.of, node.args)),
    "matrix_transpose": Equations.permuted,
    "permute_dims": Equations.permuted,
    "sum_squares": Equations.squares_of,
    "item": Equations.factor_of,
    "abs": lambda self, node: self.style.size(self.of(node.args[0])),
    "where": lambda self, node: self.style.choice(*map(self.of, node.args)),
    "maximum": _called("max"),
    "minimum": _called("min"),
    "total": _called("sum_over_params"),
}


def equations(program: Program, latex: bool = False) -> str:
    """The equations of a program.

    Args:
        program: what a chain is traced into for a leaf.
        latex: as LaTeX, False.

    >>> import samestep as ss
    >>> print(equations(ss.lion().chains[0].program((3,))))
    m' = beta2 m + (1 - beta2) g
    p' = p - lr sign(beta1 m + (1 - beta1) g)
    """
    return str(Equations(program, Latex() if latex else Plain()))
