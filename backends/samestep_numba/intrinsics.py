"""Intrinsics for generated kernels: typed loads and stores at an integer address, and the mark that tells LLVM
that the iterations of the loop just closed do not depend on each other (in place included: out == in exactly).

`ld_*(a, i)` / `st_*(a, i, x)` carry !llvm.access.group; `independent()` written on the line after a loop puts
!llvm.loop {llvm.loop.parallel_accesses} on that loop's back edge. LLVM then vectorises without run-time alias checks
and keeps the order of loads and stores within one iteration.
"""
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.core import cgutils


class _Distinct(ir.values.MDValue):
    """`distinct !{...}`; `selfref` puts the node itself first, as loop ids need. Equal only to itself."""

    def __init__(self, module, operands, selfref=False):
        super().__init__(module, module._fix_metadata_operands(operands), name=str(len(module.metadata)))
        if selfref:
            self.operands = (self, *self.operands)

    def descr(self, buf):
        buf += ("distinct !{ %s }" % ", ".join(
            o.get_reference() if isinstance(o.type, ir.types.MetaDataType) else f"{o.type} {o.get_reference()}"
            for o in self.operands), "\n")

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


def _tag(builder, instruction):
    """Put an access into the group of the loop being lowered: all accesses since the last mark, so that an outer loop never has all of its in one."""
    function = builder.function
    if getattr(function, "_access_group", None) is None:
        function._access_group = _Distinct(builder.module, [])
    function._last_access = builder.block
    instruction.set_metadata("llvm.access.group", function._access_group)


def _pointer(builder, address, index, element):
    base = builder.inttoptr(address, element.as_pointer())
    return builder.gep(base, [index], inbounds=True)


def _load(numba_type, element, align):
    @intrinsic
    def load(typingctx, address, index):
        def codegen(context, builder, signature, args):
            value = builder.load(_pointer(builder, *args, element), align=align)
            _tag(builder, value)
            return value
        return numba_type(types.int64, types.int64), codegen
    return load


def _store(numba_type, element, align):
    @intrinsic
    def store(typingctx, address, index, value):
        def codegen(context, builder, signature, args):
            address, index, value = args
            instruction = builder.store(value, _pointer(builder, address, index, element), align=align)
            _tag(builder, instruction)
            return context.get_dummy_value()
        return types.void(types.int64, types.int64, numba_type), codegen
    return store


F32, F64 = ir.FloatType(), ir.DoubleType()
I8, I16, I32, I64 = (ir.IntType(b) for b in (8, 16, 32, 64))
ld_f32, st_f32 = _load(types.float32, F32, 4), _store(types.float32, F32, 4)
ld_f64, st_f64 = _load(types.float64, F64, 8), _store(types.float64, F64, 8)
ld_u16, st_u16 = _load(types.uint16, I16, 2), _store(types.uint16, I16, 2)


def _reach(start, edges):
    seen, todo = set(), [start]
    while todo:
        for block in edges.get(todo.pop(), ()):
            if block not in seen:
                seen.add(block)
                todo.append(block)
    return seen


def _mark(builder, *hints):
    """!llvm.loop on the loop around the last access: parallel accesses, and hints (name, int).

    Loops further out are not closed yet, so that loop is the only cycle through the block of the access. (The order of function.blocks
    says nothing: lowering `min` or `and` appends blocks.)"""
    function, module = builder.function, builder.module
    if getattr(function, "_access_group", None) is None:
        raise NotImplementedError("independent() with no access before it")
    after, before = {}, {}
    for block in function.blocks:
        if block.terminator is not None:
            for target in block.terminator.operands:
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
    text = lambda name: ir.MetaDataString(module, name)
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


def vector_bytes(context):
    """Bytes in the widest vector register that code is made for (numba's disk cache is keyed by the cpu as well)."""
    features = context.codegen()._tm_features.split(",")
    return 64 if "+avx512f" in features else 32 if "+avx2" in features else 16


@intrinsic
def independent_by(typingctx, size):
    """The same for a loop that mixes widths: as many elements of `size` (a literal) bytes at a time as a register holds.
    By itself LLVM takes what the widest type allows, and divides float32 by half registers when it sums in float64."""
    if not isinstance(size, types.IntegerLiteral):
        return None

    def codegen(context, builder, signature, args):
        _mark(builder, ("llvm.loop.vectorize.width", vector_bytes(context) // size.literal_value))
        return context.get_dummy_value()
    return types.void(size), codegen


@intrinsic
def select(typingctx, condition, a, b):
    """`where`, without a branch: the bits of a or of b, NaN payload and all."""
    if a != b or condition != types.boolean:
        return None

    def codegen(context, builder, signature, args):
        return builder.select(context.get_value_as_data(builder, types.boolean, args[0])
                              if args[0].type != ir.IntType(1) else args[0], *args[1:])
    return a(types.boolean, a, a), codegen


def _unary(name):
    @intrinsic
    def call(typingctx, x):
        if not isinstance(x, types.Float):
            return None

        def codegen(context, builder, signature, args):
            return builder.call(builder.module.declare_intrinsic(name, [args[0].type]), args)
        return x(x), codegen
    return call


sqrt, fabs, floor, ceil, trunc, rint = (_unary("llvm." + n) for n in ("sqrt", "fabs", "floor", "ceil", "trunc", "rint"))


@intrinsic
def lanes(typingctx, count):
    """The address of `count` (a literal) float64 in this function's frame, 64-byte aligned, not initialised."""
    if not isinstance(count, types.IntegerLiteral):
        return None
    n = count.literal_value

    def codegen(context, builder, signature, args):
        buffer = cgutils.alloca_once(builder, ir.ArrayType(F64, n))
        buffer.align = 64
        return builder.ptrtoint(buffer, I64)
    return types.int64(count), codegen


def _has_half(context, builder):
    """Else LLVM calls __extendhfsf2 / __truncsfhf2, which are not in the process: a crash at the first call."""
    return "+f16c" in context.codegen()._tm_features.split(",") or builder.module.triple.startswith(("aarch64", "arm64"))


def _half_up(b, bits):
    """The same from integer and float32 arithmetic alone."""
    c = I32
    h = b.zext(bits, I32)
    sign = b.shl(b.and_(h, c(0x8000)), c(16))
    body = b.shl(b.and_(h, c(0x7FFF)), c(13))
    # exponent rebiased by a product with 2**112, exact, also for subnormals; inf and nan get an exponent of ones
    scaled = b.bitcast(b.fmul(b.bitcast(body, F32), ir.Constant(F32, 2.0 ** 112)), I32)
    value = b.select(b.icmp_unsigned(">=", body, c(0x0F800000)), b.or_(body, c(0x7F800000)), scaled)
    return b.bitcast(b.or_(value, sign), F32)


def _half_down(b, x):
    c = I32
    u = b.bitcast(x, I32)
    sign = b.lshr(b.and_(u, c(0x80000000)), c(16))
    a = b.and_(u, c(0x7FFFFFFF))
    # normal: rebias, add half an ulp less one plus the last kept bit; a carry into the exponent is right, up to inf
    odd = b.and_(b.lshr(a, c(13)), c(1))
    normal = b.lshr(b.add(b.add(b.sub(a, c(0x38000000)), c(0xFFF)), odd), c(13))
    # subnormal: adding 0.5 rounds to 2**-24, to even; what is above the bits of 0.5 is the answer
    small = b.sub(b.bitcast(b.fadd(b.bitcast(a, F32), ir.Constant(F32, 0.5)), I32), c(0x3F000000))
    nan = b.or_(b.and_(b.lshr(a, c(13)), c(0x1FF)), c(0x7E00))
    value = b.select(b.icmp_unsigned("<", a, c(0x38800000)), small, normal)
    value = b.select(b.icmp_unsigned(">=", a, c(0x477FF000)), c(0x7C00), value)
    value = b.select(b.icmp_unsigned(">", a, c(0x7F800000)), nan, value)
    return b.trunc(b.or_(value, sign), I16)


def _half(up, always_bits=False):
    @intrinsic
    def convert(typingctx, x):
        def codegen(context, builder, signature, args):
            native = not always_bits and _has_half(context, builder)
            if up:
                return builder.fpext(builder.bitcast(args[0], ir.HalfType()), F32) if native else _half_up(builder, args[0])
            return builder.bitcast(builder.fptrunc(args[0], ir.HalfType()), I16) if native else _half_down(builder, args[0])
        return (types.float32(types.uint16) if up else types.uint16(types.float32)), codegen
    return convert


half_to_f32, f32_to_half = _half(True), _half(False)                       # uint16 bits -> float32, exact; back: nearest, ties to even
half_to_f32_bits, f32_to_half_bits = _half(True, True), _half(False, True)  # for tests on a machine that has the instruction


@intrinsic
def bf16_to_f32(typingctx, bits):
    def codegen(context, builder, signature, args):
        return builder.bitcast(builder.shl(builder.zext(args[0], I32), I32(16)), F32)
    return types.float32(types.uint16), codegen


@intrinsic
def f32_to_bf16(typingctx, x):
    """Bits, not fptrunc to bfloat: with avx512_bf16 LLVM prints vcvtneps2bf16, which flushes subnormals."""
    def codegen(context, builder, signature, args):
        b = builder
        u = b.bitcast(args[0], I32)
        odd = b.and_(b.lshr(u, I32(16)), I32(1))
        rounded = b.lshr(b.add(b.add(u, I32(0x7FFF)), odd), I32(16))
        nan = b.or_(b.lshr(u, I32(16)), I32(0x40))
        value = b.select(b.fcmp_unordered("uno", args[0], args[0]), nan, rounded)
        return b.trunc(value, I16)
    return types.uint16(types.float32), codegen


@intrinsic
def stream_copy(typingctx, target, source, count):
    """Copy `count` bytes past the caches, 64 at a time: target 64-byte aligned, count a multiple of 64. Then `fence()`."""
    def codegen(context, builder, signature, args):
        target, source, count = args
        vector = ir.VectorType(F32, 16).as_pointer()
        temporal = builder.module.add_metadata([I32(1)])
        with cgutils.for_range_slice(builder, I64(0), count, I64(64), I64) as (offset, _):
            value = builder.load(builder.inttoptr(builder.add(source, offset), vector), align=64)
            put = builder.store(value, builder.inttoptr(builder.add(target, offset), vector), align=64)
            put.set_metadata("nontemporal", temporal)
        return context.get_dummy_value()
    return types.void(types.int64, types.int64, types.int64), codegen


@intrinsic
def fence(typingctx):
    def codegen(context, builder, signature, args):
        builder.fence("seq_cst")
        return context.get_dummy_value()
    return types.void(), codegen


@intrinsic
def take(typingctx, cursor, count):
    """Atomically add `count` to the int64 at address `cursor` and return what was there: the next rows to do."""
    def codegen(context, builder, signature, args):
        return builder.atomic_rmw("add", builder.inttoptr(args[0], I64.as_pointer()), args[1], "seq_cst")
    return types.int64(types.int64, types.int64), codegen


ld_i64, st_i64 = _load(types.int64, I64, 8), _store(types.int64, I64, 8)
