"""Every operation of torch against NumPy on the values where libraries differ: bit for bit, or it has a remedy here."""

import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from samestep_torch import namespace as xp

harness = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "harness.py")))
FLOATS = [np.float32, np.float64]
floats = pytest.mark.parametrize("dtype", FLOATS)
UNARY = ["abs", "negative", "sign", "sqrt", "floor", "ceil", "isnan", "isinf", "isfinite"]
BINARY = [
    "add", "subtract", "multiply", "divide", "copysign", "remainder", "floor_divide", "less", "less_equal", "greater",
    "greater_equal", "equal", "not_equal",
]  # fmt: skip


def values(dtype, seed=0):
    """Special values, 60 decades, and bits at random."""
    rng = np.random.default_rng(seed)
    anything = np.frombuffer(rng.bytes(np.dtype(dtype).itemsize * 20_000), dtype)
    return np.concatenate([harness.specials(dtype), harness.decades(dtype, 20_000, seed), anything])


def same(found, wanted, where):
    if wanted.dtype == bool:
        assert np.array_equal(found, wanted), where
    else:
        harness.same_bits(found, wanted, where)


@floats
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    x = values(dtype)
    with np.errstate(all="ignore"):
        same(getattr(xp, name)(torch.tensor(x)).numpy(), getattr(np, name)(x), name)
        for v in harness.specials(dtype):
            same(getattr(xp, name)(torch.tensor(v)).numpy(), getattr(np, name)(np.asarray(v)), f"{name} {v}")


@floats
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    """Arrays, and arrays against 0-d ones from either side: what numbers of a step are."""
    ours, theirs = getattr(xp, name), getattr(np, name)
    special = harness.specials(dtype)
    a, b = (m.reshape(-1) for m in np.meshgrid(special, special))
    a, b = np.concatenate([a, values(dtype, 1)]), np.concatenate([b, values(dtype, 2)])
    with np.errstate(all="ignore"):
        same(ours(torch.tensor(a), torch.tensor(b)).numpy(), theirs(a, b), name)
        for v in [*special, *harness.decades(dtype, 20, 3)]:
            x, n = values(dtype, 4)[:3000], torch.tensor(v)
            same(ours(torch.tensor(x), n).numpy(), theirs(x, v), f"{name} array {v}")
            same(ours(n, torch.tensor(x)).numpy(), theirs(v, x), f"{name} {v} array")


@floats
def test_where_with_0d_tensors(dtype):
    x = values(dtype)
    c, n = torch.tensor(x > 0), torch.tensor(x[5])
    for ours, theirs in [((c, n, torch.tensor(x)), (x > 0, x[5], x)), ((c, torch.tensor(x), n), (x > 0, x, x[5]))]:
        found = xp.where(*ours)
        assert found.dtype == torch.tensor(x).dtype
        same(found.numpy(), np.where(*theirs), "where")


@pytest.mark.parametrize("wide, narrow", [("float64", "float32"), ("float32", "float16"), ("float32", "bfloat16")])
def test_casts_round_as_numpy_does(wide, narrow):
    import ml_dtypes

    with np.errstate(all="ignore"):
        x = np.concatenate([values(wide), values(wide) * np.float32(1e-38), values(wide) * np.float32(1e-7)])
    found = xp.astype(torch.tensor(x), getattr(torch, narrow)).to(getattr(torch, wide)).numpy()
    with np.errstate(all="ignore"):
        wanted = x.astype(getattr(ml_dtypes, narrow, narrow)).astype(wide)
    same(found, wanted, narrow)


# The root


def root(x):
    with np.errstate(invalid="ignore"):
        same(xp.sqrt(torch.from_numpy(x)).numpy(), np.sqrt(x), "sqrt")


def test_the_plain_root_is_wrong_here():
    """Else the remedy has become idle."""
    x = np.random.default_rng(0).uniform(1, 4, 100_000)
    for dtype in FLOATS:
        found = torch.sqrt(torch.from_numpy(x.astype(dtype))).numpy()
        assert (found != np.sqrt(x.astype(dtype))).mean() > 0.001


def test_root_of_every_float32_between_1_and_4():
    """All significands, with even and odd exponents; others differ by a power of two."""
    bits = np.arange(np.float32(1).view(np.uint32), np.float32(4).view(np.uint32), dtype=np.uint32)
    for part in np.array_split(bits, 8):
        root(part.view(np.float32))


def test_root_of_float32_at_every_exponent():
    rng = np.random.default_rng(1)
    exponents = np.repeat(np.arange(255, dtype=np.uint32), 2000)
    root(((exponents << 23) | rng.integers(0, 2**23, exponents.size, dtype=np.uint32)).view(np.float32))


def test_root_of_float64_at_every_exponent():
    rng = np.random.default_rng(2)
    exponents = np.repeat(np.arange(2047, dtype=np.uint64), 1000)
    root(((exponents << np.uint64(52)) | rng.integers(0, 2**52, exponents.size, dtype=np.uint64)).view(np.float64))


def hard(count):
    """Roots next to the middle between two neighbours, and next to a neighbour: (m +- 1/2)^2 and m^2, in integers."""
    rng = np.random.default_rng(3)
    found = []
    for m in [2**52, 2**52 + 1, 2**53 - 1, 2**53 - 2, *map(int, rng.integers(2**52, 2**53, count))]:
        for square in (m * m, m * m + m, m * m - m):
            shift = square.bit_length() - 53
            shift += (shift + 0) % 2  # an even power of two, so that the root keeps its digits
            found += [(square >> shift) + near for near in (-1, 0, 1, 2)]
    return np.array([x for x in found if x < 2**53], np.float64)


def nearest_ties():
    """x with x * 2^k = m (m + 1) + small: solved by continuing the square root of 1 modulo powers of two."""
    found = []
    for residue in range(-40, 41):
        # odd M = 2 m + 1 with M^2 = residue' mod 2^55: the root of x lies within residue' / 2^107 of a tie
        target = 8 * residue + 1
        m = 1
        for bit in range(3, 56):
            if (m * m - target) >> bit & 1:
                m += 1 << (bit - 1)
        for odd in (m % 2**54, -m % 2**54, (m + 2**53) % 2**54, (-m + 2**53) % 2**54):
            if odd >> 53 == 1:
                square = odd * odd - target
                for k in (54, 55, 56):
                    x, rest = divmod(square, 2**k)
                    if rest == 0 and x < 2**53:
                        found.append(x)
    return np.array(sorted(set(found)), np.float64)


def test_root_of_hard_cases():
    ties = nearest_ties()
    assert len(ties) > 50
    for x in (hard(50_000), ties):
        for scale in (1.0, 4.0, 2.0**-1000, 2.0**-1126, 2.0**900, 2.0**-752, 2.0**-754, 2.0**646, 2.0**648):
            scaled = x * scale
            root(scaled)
            root(np.nextafter(scaled, np.inf))
            root(np.nextafter(scaled, 0.0))


# What the namespace makes is part of no graph


def test_asarray_and_astype_record_nothing():
    p = torch.nn.Parameter(torch.ones(3))
    for found in (xp.asarray(p), xp.asarray(p, copy=True), xp.astype(p, torch.float64), xp.asarray(p * 2)):
        assert type(found) is torch.Tensor and not found.requires_grad
    assert xp.asarray(p).data_ptr() == p.data_ptr() != xp.asarray(p, copy=True).data_ptr()
    assert p.requires_grad and xp.asarray([1.0], dtype=torch.float64).dtype is torch.float64
