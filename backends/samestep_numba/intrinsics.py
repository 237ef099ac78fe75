"""Intrinsics for generated kernels: typed access to memory at an integer address, and the mark that a loop is parallel.

`ld_*(a, i)` and `st_*(a, i, x)` carry `!llvm.access.group`; `independent()`, on the line after a loop, puts
`!llvm.loop {llvm.loop.parallel_accesses}` on that loop. LLVM then vectorises without run-time alias checks and keeps
the order of loads and stores within one iteration, so that an output may lie exactly where its input lies. Any access
in the loop without a group (a table read) takes the mark's effect away.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

F32, F64 = ir.FloatType(), ir.DoubleType()
I16, I32, I64 = (ir.IntType(bits) for bits in (16, 32, 64))


class _Distinct(ir.values.MDValue):
    """`distinct !{...}`, which llvmlite lacks; `selfref` puts the node itself first, as loop ids need."""

    def __init__(self, module: Any, operands: list, selfref: bool = False) -> None:
        super().__init__(module, module._fix_metadata_operands(operands), name=str(len(module.metadata)))
        if selfref:
            self.operands: tuple = (self, *self.operands)

    def descr(self, buf: Any) -> None:
        def shown(operand: Any) -> str:
            metadata = isinstance(operand.type, ir.types.MetaDataType)
            return operand.get_reference() if metadata else f"{operand.type} {operand.get_reference()}"

        buf += (f"distinct !{{ {', '.join(map(shown, self.operands))} }}", "\n")

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


def _tag(builder: Any, instruction: Any) -> None:
    """Put an access into the group of the loop being lowered; a mark begins a new one, so no outer loop has all."""
    function = builder.function
    if getattr(function, "_access_group", None) is None:
        function._access_group = _Distinct(builder.module, [])
    function._last_access = builder.block
    instruction.set_metadata("llvm.access.group", function._access_group)


def _pointer(builder: Any, address: Any, index: Any, element: Any) -> Any:
    return builder.gep(builder.inttoptr(address, element.as_pointer()), [index], inbounds=True)


def _load(numba_type: Any, element: Any, align: int) -> Any:
    @intrinsic
    def load(typingctx, address, index):
        def codegen(context, builder, signature, args):
            address, index = args
            value = builder.load(_pointer(builder, address, index, element), align=align)
            _tag(builder, value)
            return value

        return numba_type(types.int64, types.int64), codegen

    return load


def _store(numba_type: Any, element: Any, align: int) -> Any:
    @intrinsic
    def store(typingctx, address, index, value):
        def codegen(context, builder, signature, args):
            address, index, value = args
            _tag(builder, builder.store(value, _pointer(builder, address, index, element), align=align))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, numba_type), codegen

    return store


ld_f32, st_f32 = _load(types.float32, F32, 4), _store(types.float32, F32, 4)
ld_f64, st_f64 = _load(types.float64, F64, 8), _store(types.float64, F64, 8)
ld_u16, st_u16 = _load(types.uint16, I16, 2), _store(types.uint16, I16, 2)


def _reach(start: Any, edges: dict) -> set:
    seen: set = set()
    todo = [start]
    while todo:
        for block in edges.get(todo.pop(), ()):
            if block not in seen:
                seen.add(block)
                todo.append(block)
    return seen


def _mark(builder: Any, *hints: tuple[str, int]) -> None:
    """Mark the loop around the last access, with hints.

    Loops further out are not closed yet, so that loop is the only cycle through the block of the access. The order of
    `function.blocks` says nothing: lowering `min` appends blocks.
    """
    function, module = builder.function, builder.module
    if getattr(function, "_access_group", None) is None:
        raise NotImplementedError("independent() with no access before it")
    after: dict[Any, list] = {}
    before: dict[Any, list] = {}
    for block in function.blocks:
        for target in block.terminator.operands if block.terminator is not None else ():
            if isinstance(target, ir.Block):
                after.setdefault(block, []).append(target)
                before.setdefault(target, []).append(block)
    last = function._last_access
    cycle = _reach(last, after) & _reach(last, before)
    if last not in cycle or builder.block in cycle:
        raise NotImplementedError("independent() belongs on the line after a loop")
    headers = [block for block in cycle if any(b not in cycle for b in before[block])]
    latches = [b for header in headers for b in before[header] if b in cycle]
    if len(headers) != 1 or len(latches) != 1:
        raise NotImplementedError("independent() wants a loop with one way in and one way round")

    def text(name: str) -> Any:
        return ir.MetaDataString(module, name)

    rows = [module.add_metadata([text("llvm.loop.parallel_accesses"), function._access_group])]
    rows += [module.add_metadata([text(name), I32(value)]) for name, value in hints]
    latches[0].terminator.set_metadata("llvm.loop", _Distinct(module, rows, selfref=True))
    function._access_group = None


@intrinsic
def independent(typingctx):
    """On the line after a loop: its iterations do not depend on each other."""

    def codegen(context, builder, signature, args):
        _mark(builder)
        return context.get_dummy_value()

    return types.void(), codegen


def features(context: Any) -> list[str]:
    """What the processor that code is made for can do."""
    return context.codegen()._tm_features.split(",")


def vector_bytes(context: Any) -> int:
    """Bytes in the widest vector register that code is made for."""
    has = features(context)
    return 64 if "+avx512f" in has else 32 if "+avx2" in has else 16


@intrinsic
def independent_by(typingctx, size):
    """The same for a loop that mixes widths: as many elements of `size` (a literal) bytes as a register holds.

    By itself LLVM takes what the widest type allows, and divides float32 by half registers when it sums in float64.
    """
    if not isinstance(size, types.IntegerLiteral):
        return None

    def codegen(context, builder, signature, args):
        _mark(builder, ("llvm.loop.vectorize.width", vector_bytes(context) // size.literal_value))
        return context.get_dummy_value()

    return types.void(size), codegen


@intrinsic
def select(typingctx, condition, a, b):
    """`where` without a branch: the bits of a or of b, a NaN's too."""
    if a != b or condition != types.boolean:
        return None

    def codegen(context, builder, signature, args):
        condition = args[0]
        if condition.type != ir.IntType(1):
            condition = context.get_value_as_data(builder, types.boolean, condition)
        return builder.select(condition, *args[1:])

    return a(types.boolean, a, a), codegen


def _math(name: str, arity: int = 1) -> Any:
    def codegen(context, builder, signature, args):
        kind = args[0].type
        function = builder.module.declare_intrinsic(name, [kind], ir.FunctionType(kind, [kind] * arity))
        return builder.call(function, args)

    if arity == 2:

        @intrinsic
        def call2(typingctx, x, y):
            return (x(x, x), codegen) if isinstance(x, types.Float) and x == y else None

        return call2

    @intrinsic
    def call(typingctx, x):
        return (x(x), codegen) if isinstance(x, types.Float) else None

    return call


sqrt, fabs, floor, ceil = (_math(f"llvm.{name}") for name in ("sqrt", "fabs", "floor", "ceil"))
copysign = _math("llvm.copysign", 2)


@intrinsic
def lanes(typingctx, count):
    """The address of `count` (a literal) float64 in this function's frame: 64-byte aligned, not initialised."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    size = count.literal_value

    def codegen(context, builder, signature, args):
        buffer = cgutils.alloca_once(builder, ir.ArrayType(F64, size))
        buffer.align = 64
        return builder.ptrtoint(buffer, I64)

    return types.int64(count), codegen


@intrinsic
def stream_copy(typingctx, target, source, count):
    """Copy `count` bytes past the caches: target 64-byte aligned, count a multiple of 64. Then `fence()`."""

    def codegen(context, builder, signature, args):
        target, source, count = args
        vector = ir.VectorType(F32, 16).as_pointer()
        nontemporal = builder.module.add_metadata([I32(1)])
        with cgutils.for_range_slice(builder, I64(0), count, I64(64), I64) as (offset, _):
            value = builder.load(builder.inttoptr(builder.add(source, offset), vector), align=64)
            put = builder.store(value, builder.inttoptr(builder.add(target, offset), vector), align=64)
            put.set_metadata("nontemporal", nontemporal)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def claim(typingctx, counters, i):
    """Add 1 to a counter, at once for all threads, and return what it was; what was written before is seen after."""

    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, value=args[0])
        return builder.atomic_rmw("add", builder.gep(array.data, [args[1]]), I64(1), "acq_rel")

    return types.int64(counters, types.int64), codegen


@intrinsic
def fence(typingctx):
    """What `stream_copy` has written is seen by other threads."""

    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), codegen
