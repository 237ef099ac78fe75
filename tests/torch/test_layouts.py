"""Tensors as they lie: strides, overlaps, storages, dtypes, complex ones; by kernels and by torch, donated or not."""

import gc

import numpy as np
import pytest
import torch

import samestep as ss
from samestep.errors import BackendError, DonationError, LeafError

each = pytest.mark.parametrize("backend", ["torch", "numba"])
both = pytest.mark.parametrize("donate", [False, True])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def as_numpy(tree):
    return {k: v.detach().numpy().copy() for k, v in tree.items()}


def tensors(seed=0, dtype=torch.float32, **shapes):
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(s, generator=generator, dtype=torch.float64).to(dtype) for k, s in shapes.items()}


# Memory


LAYOUTS = {
    "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
    "transposed": lambda x: x.transpose(0, 3).contiguous().transpose(0, 3),
    "gaps": lambda x: torch.stack([x, x], -1)[..., 0],
    "shifted": lambda x: torch.cat([torch.zeros(1, dtype=x.dtype), x.reshape(-1)])[1:].view(x.shape),
    "negated": lambda x: torch._neg_view(-x),
    "parameter": torch.nn.Parameter,
    "misaligned": lambda x: torch.frombuffer(bytearray(b"." + x.numpy().tobytes()), dtype=x.dtype, offset=1).view(
        x.shape
    ),
}


@each
@both
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_strides(backend, donate, layout):
    opt = ss.chain(ss.clip_by_global_norm(1.0), ss.adamw(0.1))
    plain, g = tensors(w=(2, 3, 4, 5)), tensors(1, w=(2, 3, 4, 5))
    state = opt.init(plain)
    odd = {"w": layout(plain["w"].clone())}
    strides, odd_state = odd["w"].stride(), opt.init(odd)
    odd_state["m"]["w"] = layout(odd_state["m"]["w"]).detach()
    with ss.use_backend(backend):
        for _ in range(3):
            plain, state = opt.step(plain, g, state)
            new, odd_state = opt.step(odd, {"w": layout(g["w"]).detach()}, odd_state, donate=donate)
            assert (new["w"] is odd["w"]) == donate
            odd = new if donate else {"w": layout(new["w"].detach().clone())}
            assert torch.equal(odd["w"], plain["w"]) and odd["w"].stride() == strides
            assert torch.equal(odd_state["v"]["w"], state["v"]["w"])


@each
@pytest.mark.parametrize("layout", ["channels last", "transposed"])
def test_fresh_results_keep_strides(backend, layout):
    opt, p = ss.adamw(0.1), {"w": torch.nn.Parameter(LAYOUTS[layout](torch.ones(2, 3, 4, 5))), "b": torch.ones(3)}
    g, state = {k: torch.ones(x.shape) for k, x in p.items()}, opt.init(p)
    with ss.use_backend(backend):
        for _ in range(3):
            new, state = opt.step(p, g, state)
            assert new["w"].stride() == p["w"].stride() and new["w"].requires_grad and new["w"].is_leaf
            assert new["w"].unique().numel() == 1 and not new["b"].requires_grad
            p = new


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("grad", [False, True])
@each
def test_overlaps_are_refused(backend, dtype, grad):
    base = torch.zeros(10, dtype=dtype)

    def part(lo, hi):
        return base[lo:hi].detach().requires_grad_(grad)

    opt = ss.sgd(0.1, momentum=0.9)
    with pytest.raises(LeafError, match="share memory"):
        opt.init({"a": part(0, 6), "b": part(5, 10)})
    with ss.use_backend(backend):
        params = {"a": part(0, 5), "b": part(5, 10)}
        state = opt.init(params)
        g = {k: torch.ones(5, dtype=dtype) for k in params}
        for _ in range(2):
            opt.step(params, g, state, donate=True)
            with pytest.raises(DonationError, match="overlap in memory"):
                opt.step(params, {**g, "b": part(3, 8).detach()}, state, donate=True)
            with pytest.raises(DonationError, match="overlap in memory"):
                opt.step({"a": part(0, 5), "b": part(4, 9)}, g, state, donate=True)
        folded = torch.zeros(1, dtype=dtype).expand(5).detach().requires_grad_(grad)
        with pytest.raises(DonationError, match="overlaps itself"):
            opt.step({"a": folded, "b": part(5, 10)}, g, state, donate=True)


def test_tied_modules_are_refused():
    m = torch.nn.ModuleDict({"a": torch.nn.Linear(3, 3), "b": torch.nn.Linear(3, 3)})
    with pytest.raises(LeafError, match="share memory"):
        m["b"].weight.data = m["a"].weight.data
        ss.adam().init(dict(m.named_parameters()))


@each
def test_a_copy_slot_has_its_own_memory(backend):
    p = {"w": torch.nn.Parameter(torch.ones(3))}
    opt = ss.chain(ss.sgd(0.5), ss.lookahead())
    state = opt.init(p)
    assert state["slow"]["w"].data_ptr() != p["w"].data_ptr() and not state["slow"]["w"].requires_grad


def test_freed_storage_is_an_error_and_not_a_crash():
    opt, p, g = ss.sgd(0.1), {"w": torch.ones(1000)}, {"w": torch.ones(1000)}
    state = opt.init(p)
    for _ in range(2):
        opt.step(p, g, state, donate=True)
    g["w"].untyped_storage().resize_(0)
    with pytest.raises(BackendError, match="storage"):
        opt.step(p, g, state)


@each
def test_a_look_leaves_storages_as_they_are(backend):
    """`Tensor.numpy()` would make them unresizable, which FSDP, for one, does not survive."""
    opt, p = ss.adam(0.1), {"w": torch.nn.Parameter(torch.ones(3)), "h": torch.ones(2, dtype=torch.bfloat16)}
    g, state = {k: torch.ones_like(x) for k, x in p.items()}, opt.init(p)
    with ss.use_backend(backend):
        for _ in range(3):
            p, state = opt.step(p, g, state, donate=True)
    assert all(x.untyped_storage().resizable() for x in (*p.values(), *g.values(), *state["m"].values()))


def test_results_live_as_long_as_anybody_has_them():
    """The memory of a result is used again only when it, its views and what autograd saved are gone."""
    opt = ss.sgd(1.0)
    for size in (3, 100_000):
        p, g, state = torch.zeros(size), torch.ones(size), opt.init(torch.zeros(size))
        views, graphs, wanted = [], [], []
        for k in range(8):
            p, state = opt.step(p.detach(), g, state)
            wanted.append(-float(k + 1))
            if k % 3 == 0:
                views.append((k, p[1:]))
            elif k % 3 == 1:
                leaf = p.detach().requires_grad_()
                graphs.append((k, (leaf * leaf).sum(), leaf.register_hook(lambda grad: None), [leaf]))
        gc.collect()
        for k, view in views:
            assert (view == wanted[k]).all()
        for k, graph, _, (leaf,) in graphs:
            graph.backward()
            assert (leaf.grad == 2 * wanted[k]).all()


# Shapes and dtypes


@each
@both
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes_and_shapes(backend, donate, dtype):
    p = tensors(0, getattr(torch, dtype), scalar=(), empty=(0, 4), vector=(5,), one=(1, 1))
    opt = ss.adamw(0.1)
    state = opt.init(p)
    wide = torch.float64 if dtype == "float64" else torch.float32
    with ss.use_backend(backend):
        for t in range(3):
            g = tensors(t, torch.float32 if dtype == "float64" else torch.float64, **{k: v.shape for k, v in p.items()})
            new, state = opt.step(p, g, state, donate=donate)
            assert all((new[k] is p[k]) == donate and new[k].dtype is p[k].dtype for k in p)
            assert {x.dtype for slot in ("m", "v") for x in state[slot].values()} == {wide}
            assert {k: x.shape for k, x in new.items()} == {k: x.shape for k, x in p.items()}
            p = new


@each
@both
@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
def test_complex(backend, donate, dtype):
    """As NumPy has them, also where a conjugation is pending."""
    start = torch.randn(4, 3, dtype=getattr(torch, dtype))
    ours, theirs = {"a": start.clone(), "b": torch.nn.Parameter(start.clone())}, None
    theirs = as_numpy(ours)
    opt = ss.adamw(0.1)
    state, reference = opt.init(ours), opt.init(theirs)
    for t in range(3):
        g = torch.randn(3, 4, dtype=start.dtype, generator=torch.Generator().manual_seed(t))
        grads = {"a": g.mH, "b": g.mT}
        assert g.mH.is_conj()
        with ss.use_backend(backend):
            new, state = opt.step(ours, grads, state, donate=donate)
        assert all((new[k] is ours[k]) == donate and new[k].requires_grad == (k == "b") for k in new)
        ours = new
        resolved = {k: x.resolve_conj().numpy() for k, x in grads.items()}
        theirs, reference = opt.step(theirs, resolved, reference)
        for k in theirs:
            assert np.array_equal(ours[k].detach().resolve_conj().numpy(), theirs[k])
            assert np.array_equal(state["v"][k].numpy(), reference["v"][k])


@each
@both
def test_a_leaf_without_a_gradient(backend, donate):
    opt, p = ss.nadam(0.1), {"a": torch.nn.Parameter(torch.ones(3)), "b": torch.nn.Parameter(torch.ones(2))}
    state = opt.init(p)
    with ss.use_backend(backend):
        for k in range(4):
            new, state = opt.step(p, {"a": torch.ones(3), "b": None if k < 2 else torch.ones(2)}, state, donate=donate)
            assert (new["b"] is p["b"]) == donate and new["b"].requires_grad
            assert torch.equal(new["b"], torch.ones(2)) == (k < 2)
            p = new
    assert state["step"] == {"a": 4, "b": 2}
