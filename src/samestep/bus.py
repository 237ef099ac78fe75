"""The trace of a chain: its pages are called once, one after another, and what they return goes on to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import TraceError, names
from .moves import Moves
from .page import CLOCKS, CONDITIONS, SECOND, STATIC, WRITES, Page, Part, keywords, positional
from .proportion import Gradients
from .recurrence import Recurrences
from .slots import Slot, zeros
from .trace.graph import Kind, Node, Program, Rank, made_of, reachable
from .trace.namespace import Symbol, Tracer

if TYPE_CHECKING:
    from .chain import Chain

Floors = tuple[tuple[tuple, int], ...]  # (scope, ordinal) of a total -> level
ARRAY = Kind(Rank.ARRAY, full=True)
HOST = Kind(Rank.HOST)


class Reset(NamedTuple):
    """Slots that start again."""

    when: Symbol
    concerns: Callable[[Part, str], bool]  # whether it is for a slot
    gate: Symbol | None  # as it is where the reset stands: what closes behind it cannot undo it


class Bus:
    """What flows through a chain while it is traced."""

    def __init__(self, chain: Chain, shape: tuple[int, ...], floors: Floors = ()) -> None:
        self.tracer = Tracer(shape, dict(floors))
        self.per_leaf = chain.per_leaf
        source = self.tracer.source
        self.leading = next((name for name, spec, _ in chain.slots() if spec.leads), "p")
        self.p = self.start = source("input", self.leading, ARRAY)
        self.u = self.g = self.grad = source("input", "grad", ARRAY)
        self.t = source("t", None, HOST)
        self.completed = self.t, 1  # of which the difference is how many steps, whatever inner clocks say
        self.h: Symbol | None = None  # the inverse of the step size of each coordinate, where a direction part says it
        self.h0: Symbol | None = None  # and what it is before the first gradient; 0 unless it is said
        self.lr: Symbol | None = None  # what a part has made of the chain's, for the parts behind it
        self.lr_made: tuple[Page, Symbol] | None = None  # by a gradient page, whose lr somebody has to take
        self.moves = Moves(self.leading)
        self.gate: Symbol | None = None
        self.gradients = Gradients(self.grad.node)
        self.resets: list[Reset] = []
        self.chosen: tuple[str, ...] | None = None  # by the last part that restarts others
        self.cycle: dict[str, Any] = {}  # what a gradient part says of the update parts
        self.directions: list[tuple[Part, dict[str, Symbol], Symbol]] = []  # what each wrote into its slots, and its u
        self.handed: dict[str, Symbol] = {}
        self.whole = True  # whether g is all of the gradient of a step
        self.outputs: dict[str, Symbol] = {}
        self.inputs: dict[str, Symbol] = {}
        self.closed: dict[str, Symbol] = {}  # what a slot becomes when the gate is closed
        self.idle: dict[str, Symbol] = {}  # what a slot becomes when its page leaves it as it was handed
        self.givens: list[str] = []
        self.clocks: list[Node] = []  # inner ones, as gradient parts return them
        self.shared: set[str] = set()  # number slots that totals are in

    def run(self, part: Part, page: Page, function, writes: tuple[str, ...]) -> dict[str, Symbol]:
        """Call one page and put what it returns on the bus."""
        hyper = self._hyper(part)
        if page.kind == "direction" and not self.u.node.kind.full:  # it may ask for its shape, which is the leaf's
            self.u = self.tracer.apply("full_like", self.start, self.u)
        values = {"u": self.u, "p": self.p, "g": self.g, "t": self.t, "start": self.start, "grad": self.grad}
        values |= {} if self.h is None else {"h": self.h}
        reads = page.reads if function is page.function else positional(function)
        if "h0" in reads:
            values["h0"] = self.tracer.symbol(0.0) if self.h0 is None else self.h0
        if "step" in reads:
            values["step"] = self.tracer.apply("subtract", *self.completed)
        wanted = ((name, spec) for name, spec in page.slots.items() if spec.shape != "borrowed" or name in reads)
        values |= {name: self._slot(part, name, spec, hyper) for name, spec in wanted}
        if "g" in reads and not self.whole:
            raise TraceError(
                f"page {page.__name__} reads g, of which only the last part is known when the step is taken: read u"
            )
        if "h" in reads and "h" not in values:
            raise TraceError(f"page {page.__name__} reads h, which no part before it says: write one of samestep.rules")
        if SECOND in reads:
            values[SECOND] = self.tracer.source("input", SECOND, ARRAY)
        accepted = keywords(function)
        result = function(*(values[name] for name in reads), **{k: v for k, v in hyper.items() if k in accepted})
        allowed = {*writes, *(n for n, s in page.slots.items() if not s.handed)}
        if not isinstance(result, dict) or set(result) - allowed:
            got = names(set(result) - allowed) if isinstance(result, dict) else type(result).__name__
            raise TraceError(
                f"page {page.__name__} must return a dict with some of {names(sorted(allowed))}; got {got}"
            )
        return {k: v if k in STATIC else self.tracer.symbol(v) for k, v in result.items()}

    def apply(self, part: Part) -> None:
        """Run a part of the chain."""
        page = part.page
        if page.unscales:
            self.gradients.check_scale(page, self.tracer.source("input", SECOND, ARRAY).node)
        result = self.run(part, page, page.function, WRITES[page.kind])
        for name, value in result.items():
            if name not in STATIC:
                self._check(page, name, value.node)
        written = {name: result[name] for name, spec in page.slots.items() if not spec.handed and name in result}
        for name, value in written.items():
            self._write(part, name, page.slots[name], value)
        self.u = self._shaped_like_leaf(result.get("u", self.u))
        if "p" in result:
            p = self._shaped_like_leaf(result["p"])
            if p.node is not self.p.node:
                self.moves.take(page, self.p.node, p.node, self.u.node)
            self.p = p
        if "lr" in result:
            self.lr = result["lr"]
            self.lr_made = (page, self.lr) if page.kind == "gradient" else self.lr_made
        self.h = self.h if "h" in page.slots else result.get("h", self.h)  # a slot of that name is the page's alone
        self.h0 = self.h0 if "h0" in page.slots else result.get("h0", self.h0)
        if page.kind == "gradient":
            kept = {self.inputs[q].node: written[n].node for n in written if (q := part.qualify(n)) in self.inputs}
            says = {name: result[name].node for name in ("lr", *CONDITIONS, *CLOCKS) if name in result}
            self.gradients.take(page, self.u.node, kept, says)
            self.steer(page, result)
            self.g = self.u
        if page.kind == "direction":
            self.directions.append((part, written, self.u))

    def steer(self, page: Page, result: dict[str, Any]) -> None:
        """Take up what a gradient part says of the parts behind it."""
        steering = [name for name in (*CONDITIONS, *CLOCKS) if name in result]
        late = {"when", "moves"} if "recurrence" in self.cycle else set(steering)
        if self.cycle and late.intersection(steering):
            raise TraceError(f"it must stand before {self.cycle['page']}, which has the last word on {names(steering)}")
        if "moves" in result and self.resets:
            raise TraceError("it must stand before what restarts others, which is then in whole steps")
        if "when" in result:
            self.gate = self._joined("logical_and", self.gate, result["when"])
        if "reset" in result:
            self.resets.append(Reset(result["reset"], lambda part, slot: not part.page.slots[slot].lasts, self.gate))
        if "restart" in result:
            chosen = self.chosen = result.get("slots")
            self.resets.append(Reset(result["restart"], lambda part, slot: part.restarts(slot, chosen), self.gate))
        if "t" in result:
            self.t = result["t"]
        if "moves" in result:
            self.cycle = {"page": page.__name__, **result}
        self.clocks.extend(result[name].node for name in CLOCKS if name in result)

    def turn(self) -> None:
        """From the direction parts to the update parts, which only the last call of a cycle lets move."""
        cycle, self.cycle = self.cycle, {}
        if "recurrence" in cycle:
            self._in_parts(cycle)
        if "moves" in cycle:
            self.gate = self._joined("logical_and", self.gate, cycle["moves"])
        self.t = cycle.get("outer", self.t)

    def _in_parts(self, cycle: dict[str, Any]) -> None:
        """Let the slots of the direction parts take their step in parts, and the direction follow them."""
        if not self.directions:
            raise TraceError(
                f"{cycle['page']} needs a direction part that keeps a mean of the gradient, such as momentum"
            )
        every = [(part, name, spec) for part, _, _ in self.directions for name, spec in part.page.slots.items()]
        arrays = {part.qualify(name) for part, name, spec in every if spec.shape in ("array", "scalar")}
        slots = Recurrences(self.tracer, self.g, {name: (self.inputs[name], self.handed[name]) for name in arrays})
        for part, written, u in self.directions:
            try:
                for name, value in written.items():
                    qualified = part.qualify(name)
                    if value.node is self.handed[qualified].node:
                        continue
                    if qualified in arrays:
                        value = slots.take(qualified, value, cycle["recurrence"])
                    else:
                        value = self.tracer.apply("where", cycle["moves"], slots.follow(value), self.inputs[qualified])
                    self._write(part, name, part.page.slots[name], value)
                if part is self.directions[-1][0]:  # what others made of the gradient it may have left alone
                    self.u = slots.follow(u)
            except TraceError as error:
                raise TraceError(f"{cycle['page']} does not go with {part.page.__name__}: {error}") from error
        if self.h is not None:
            try:
                self.h = slots.follow(self.h)
            except TraceError as error:
                raise TraceError(f"{cycle['page']} does not go with what says h: {error}") from error
        self.whole = False

    @staticmethod
    def _check(page: Page, name: str, node: Node) -> None:
        steers = page.kind == "gradient"
        condition = steers and name in CONDITIONS
        if condition is not node.kind.truth:
            rule = "a condition" if condition else "a number or an array; xp.where makes one of a condition"
            raise TraceError(f"{name!r} of {page.__name__} must be {rule}")
        if condition and node.is_array:
            raise TraceError(f"{name!r} of {page.__name__} is one condition for the leaf: write xp.all or xp.any")
        if name == "lr" and node.is_array:
            raise TraceError(f"'lr' of {page.__name__} is one number for the leaf, not an array: put it into u")
        if steers and name in CLOCKS and node.kind.rank > Rank.TOTAL:
            raise TraceError(
                f"{name!r} of {page.__name__} is one clock for all leaves: make it of totals (sum_over_params)"
            )

    def _joined(self, op: str, so_far: Symbol | None, value: Symbol) -> Symbol:
        return value if so_far is None else self.tracer.apply(op, so_far, value)

    def _hyper(self, part: Part) -> dict[str, Any]:
        found: dict[str, Any] = dict(part.options)
        for key, hyper in part.page.hypers.items():
            if key == "lr" and self.lr is not None:
                found[key] = self.lr
            elif hyper.number and part.qualify(key) in self.per_leaf:
                found[key] = self.tracer.source("per_leaf", part.qualify(key), Kind(Rank.LEAF))
            elif hyper.number and key not in found:
                rank = max(Rank.HOST, self.t.node.kind.rank)
                found[key] = self.tracer.source("number", part.qualify(key), Kind(rank), self.t)
        return found

    def _slot(self, part: Part, name: str, spec: Slot, hyper: dict[str, Any]) -> Symbol:
        qualified = part.qualify(name)
        if spec.shape == "given":
            self.givens.append(name)
            return self.tracer.source("given", name, HOST)
        if spec.shape == "leaves":
            return self.tracer.source("input", name, ARRAY)
        if spec.shape == "borrowed":
            if name not in self.outputs or not self.outputs[name].node.is_array:
                raise TraceError(
                    f"it borrows slot {name!r}, and no part before it writes an array there: write it behind one that "
                    "does, without a name"
                )
            self.closed[name] = self.outputs[name]
            return self.outputs[name]
        op, kind = {
            "array": ("input", ARRAY),
            "scalar": ("state_scalar", Kind(Rank.LEAF)),
            "number": ("state_number", HOST),
        }[spec.shape]
        if spec.shape == "array":  # rows, cols and the like have a shape of their own
            kind = Kind(Rank.ARRAY, full=self._start(spec, hyper).node.kind.full)
        symbol = self.inputs[qualified] = self.tracer.source(op, qualified, kind)
        handed = closed = symbol
        for reset in self.resets:
            if reset.concerns(part, name):
                if spec.role == "stale":
                    raise TraceError(
                        "what starts again within a step cannot bring the full gradient at a new snapshot: call "
                        "opt.restart(params, state), and opt.refresh after it"
                    )
                start = self._start(spec, hyper)
                handed = self.tracer.apply("where", reset.when, start, handed)
                if reset.gate is not self.gate:
                    closed = self.tracer.apply("where", self._behind(reset), start, closed)
        self.closed[qualified] = closed
        idle = handed if self.gate is None else self.tracer.apply("where", self.gate, handed, closed)
        self.idle[qualified] = idle
        self.handed[qualified] = handed
        return handed

    def _behind(self, reset: Reset) -> Symbol:
        return self._joined("logical_and", reset.gate, reset.when)

    def _start(self, spec: Slot, hyper: dict[str, Any]) -> Symbol:
        value = spec.start(self.tracer.namespace, self.start, hyper) if callable(spec.start) else spec.start
        value = self.tracer.symbol(value)
        return self._shaped_like_leaf(value) if spec.shape == "array" else value

    def _shaped_like_leaf(self, value: Symbol) -> Symbol:
        return value if value.node.is_array else self.tracer.apply("full_like", self.start, value)

    def _write(self, part: Part, name: str, spec: Slot, value: Symbol) -> None:
        qualified = part.qualify(name)
        if spec.shape in ("array", "borrowed"):
            value = self._shaped_like_leaf(value)
        starts = {symbol.node for reset in self.resets for symbol in (reset.when, self._behind(reset))}
        if spec.shape == "number" and any(n.op == "total" for n in made_of(value.node, starts.__contains__)):
            self.shared.add(qualified)  # a total that just decides that the slot starts again is in none
        if self.gate is not None:
            value = self.tracer.apply("where", self.gate, value, self.closed[qualified])
        rank = value.node.kind.rank
        if spec.shape == "number" and rank > Rank.TOTAL:
            raise TraceError(
                f"slot {name!r} of {part.page.__name__} is one number in the state, and here there is one "
                "per leaf: declare scalar(0.0), or use groups where per_leaf makes it so"
            )
        if spec.shape == "scalar" and rank > Rank.LEAF:
            raise TraceError(
                f"slot {name!r} of {part.page.__name__} is one number per leaf, and here there is an "
                "array: declare zeros"
            )
        self.outputs[qualified] = value


def trace(chain: Chain, shape: tuple[int, ...], floors: Floors) -> Program:
    """The program of a step for a leaf of this shape."""
    bus = Bus(chain, shape, floors)
    for i, part in enumerate(chain.parts):
        bus.tracer.scope = ("all",) if i < chain.shared else ("group",)
        if part.page.kind == "update":
            bus.turn()
        try:
            bus.apply(part)
            missing = set(bus.chosen or ()).difference(p.qualify(s) for p in chain.parts[i + 1 :] for s in p.page.slots)
            if missing:
                raise TraceError(f"nothing behind it has a slot {names(sorted(missing))}")
            bus.chosen = None
        except TraceError as error:
            raise TraceError(f"in page {part.page.__name__}: {error}") from error
        except Exception as error:
            error.add_note(f"in page {part.page.__name__}, while it is traced")
            raise
    p = bus.p if bus.gate is None else bus.tracer.apply("where", bus.gate, bus.p, bus.start)
    specs = {name: spec for name, spec, _ in chain.slots()}
    outputs = {name: bus.outputs.get(name, bus.idle[name]).node for name in specs}
    if bus.leading in specs:
        outputs[bus.leading] = p.node
    if bus.lr_made is not None and bus.lr_made[1].node not in reachable([p.node, *outputs.values()]):
        raise TraceError(
            f"page {bus.lr_made[0].__name__} makes the lr of each step, and no part behind it takes its lr from there: "
            "leave it out"
        )
    live = _live(p.node, outputs, bus, _read_by_verbs(chain) & outputs.keys())
    for name, spec, part in chain.slots():
        if spec == zeros and name in live and name not in bus.outputs:
            page = part.page.__name__
            raise TraceError(
                f"page {page} reads slot {name!r} and never returns it: it would be 0 in every step. Return it"
            )
    clocked = frozenset(str(n.attr) for n in reachable(bus.clocks) if n.op == "state_number")
    outputs = {"p": p.node, **{name: node for name, node in outputs.items() if name in live}}
    return Program(
        outputs=outputs,
        slots=tuple(n for n in specs if n in live and specs[n].shape != "number"),
        numbers=tuple(n for n in specs if n in live and specs[n].shape == "number"),
        givens=tuple(
            dict.fromkeys(
                g for g in bus.givens if any(n.op == "given" and n.attr == g for n in reachable(outputs.values()))
            )
        ),
        questions=tuple(bus.tracer.questions.items()),
        totals=dict(bus.tracer.totals),
        clocked=clocked,
        shared=frozenset(bus.shared - clocked),
    )


def _live(p: Node, outputs: dict[str, Node], bus: Bus, live: set[str]) -> set[str]:
    """Slots that something needs: these, and those read by an output that is needed, or changed by the step."""
    live = live | {name for name in outputs if outputs[name] is not bus.idle[name].node}
    while True:
        used = {n.index for n in reachable([p, *(outputs[name] for name in live)])}
        grown = live | {name for name in outputs if bus.inputs[name].node.index in used}
        if grown == live:
            return live
        live = grown


def _read_by_verbs(chain: Chain) -> set[str]:
    last = chain.evaluated_at
    pages = [(part, part.page.query) for part in chain.parts] + ([(last, last.page.eval)] if last is not None else [])
    return {part.qualify(name) for part, page in pages if page is not None for name in positional(page)}
