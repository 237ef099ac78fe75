"""Tensors as they come: Parameters, autograd, subclasses; by kernels and by torch, donated or not."""

import copy

import numpy as np
import pytest
import torch

import samestep as ss
from samestep import libraries
from samestep.errors import BackendError, DonationError, LeafError
from samestep_numba import Numba

BACKENDS = ["torch", "numba"]
each = pytest.mark.parametrize("backend", BACKENDS)
both = pytest.mark.parametrize("donate", [False, True])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def model():
    return torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Tanh(), torch.nn.Linear(5, 2))


def loss_of(m):
    x = torch.linspace(-1, 1, 48).reshape(8, 6)
    return ((m(x) - x[:, :2] ** 2) ** 2).mean()


def as_numpy(tree):
    return {k: v.detach().numpy().copy() for k, v in tree.items()}


# Training


@each
@both
def test_a_module_trains_as_with_torch_optim(backend, donate):
    ours, theirs = model(), None
    theirs = copy.deepcopy(ours)
    reference = torch.optim.AdamW(theirs.parameters(), lr=1e-2, weight_decay=0.1)
    opt, params = ss.adamw(1e-2, weight_decay=0.1), dict(ours.named_parameters())
    first = dict(params)
    state = opt.init(params)
    with ss.use_backend(backend):
        for _ in range(50):
            reference.zero_grad()
            loss_of(theirs).backward()
            reference.step()
            grads = dict(zip(params, torch.autograd.grad(loss_of(ours), list(ours.parameters())), strict=True))
            new, state = opt.step(params, grads, state, donate=donate)
            if donate:
                assert all(new[k] is first[k] is params[k] for k in params)
            else:
                with torch.no_grad():
                    for k, p in params.items():
                        p.copy_(new[k])
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-6)
    assert all(type(p) is torch.nn.Parameter and p.requires_grad and p.is_leaf for p in ours.parameters())


@each
def test_the_result_is_plain_and_keeps_requires_grad(backend):
    params = {"p": torch.nn.Parameter(torch.ones(3)), "q": torch.ones(2), "r": torch.ones(4, requires_grad=True)}
    opt = ss.chain(ss.adamw(0.1), ss.lookahead())
    grads = {k: torch.ones_like(p) for k, p in params.items()}
    with ss.use_backend(backend):
        state = opt.init(params)
        for given in (grads, {**grads, "p": None}, grads):
            new, after = opt.step(params, given, state)
            assert [type(p) for p in new.values()] == [torch.Tensor] * 3
            assert [p.requires_grad for p in new.values()] == [True, False, True]
            assert all(p.is_leaf and new[k] is not params[k] for k, p in new.items())
            slots = [x for tree in after.values() if isinstance(tree, dict) for x in tree.values()]
            assert not any(x.requires_grad for x in slots if isinstance(x, torch.Tensor))
            deltas, _ = opt.update(params, given, state)
            assert not any(d.requires_grad for d in deltas.values())
        assert not any(p.requires_grad and p.grad_fn for p in opt.eval_params(params, after).values())
        assert opt.restart(params, after)["step"] == 0


# Autograd


@each
@both
def test_a_write_in_place_is_seen_by_autograd(backend, donate):
    """Going back through a graph that saved the param must not use its new values."""
    opt = ss.sgd(0.5)
    for _ in range(3):  # the careful look, and the quick one
        p = torch.nn.Parameter(torch.tensor([2.0, 3.0]))
        state = opt.init({"p": p})
        saved = (p * p).sum()
        with ss.use_backend(backend):
            before = p._version
            opt.step({"p": p}, {"p": torch.ones(2)}, state, donate=donate)
        assert (p._version > before) == donate
        if donate:
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                saved.backward()
            p.grad = None
            (p * p).sum().backward()
            assert p.grad.tolist() == [3.0, 5.0]
        else:
            saved.backward()
            assert p.grad.tolist() == [4.0, 6.0]


@each
def test_donated_slots_are_bumped_too_and_gradients_are_not(backend):
    p, g = {"p": torch.ones(3)}, {"p": torch.ones(3)}
    opt = ss.adam(0.1)
    state = opt.init(p)
    with ss.use_backend(backend):
        for _ in range(3):
            before = [x._version for x in (p["p"], state["m"]["p"], state["v"]["p"])]
            kept = g["p"]._version
            p, state = opt.step(p, g, state, donate=True)
            assert all(x._version > b for x, b in zip((p["p"], state["m"]["p"], state["v"]["p"]), before, strict=True))
            assert g["p"]._version == kept


@each
def test_requires_grad_may_change_between_steps(backend):
    opt, p = ss.adam(0.1), {"w": torch.nn.Parameter(torch.ones(3)), "b": torch.zeros(2)}
    g, state = {"w": torch.ones(3), "b": torch.ones(2)}, opt.init(p)
    with ss.use_backend(backend):
        for k in range(6):
            p["w"].requires_grad_(k % 2 == 0)
            p["b"].requires_grad_(k % 3 == 0)
            new, _ = opt.step(p, g, state)
            assert [x.requires_grad for x in new.values()] == [k % 2 == 0, k % 3 == 0]
            p, state = opt.step(p, g, state, donate=True)


@each
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_modes(backend, mode):
    opt, p, g = ss.adam(0.1), {"w": torch.nn.Parameter(torch.ones(3))}, {"w": torch.ones(3)}
    state, wanted = opt.init(p), ss.adam(0.1).step(*[{"w": np.ones(3, "f4")}] * 2, opt.init({"w": np.ones(3, "f4")}))
    with ss.use_backend(backend), mode():
        for _ in range(3):
            new, _ = opt.step(p, g, state)
            assert np.array_equal(new["w"].detach().numpy(), wanted[0]["w"])
            made = opt.init({"w": torch.ones(3)})
            new, _ = opt.step({"w": torch.ones(3)}, {"w": torch.ones(3)}, made, donate=True)
            assert np.array_equal(new["w"].detach().numpy(), wanted[0]["w"])


@both
def test_groups_and_frozen_leaves(donate):
    m = model()
    p = dict(m.named_parameters())
    opt = ss.groups({"*.bias": {"lr": 1.0}, "2.*": ss.freeze()}, default=ss.adamw(0.1))
    before, state = as_numpy(p), opt.init(p)
    for _ in range(3):
        new, state = opt.step(p, {k: torch.ones_like(x) for k, x in p.items()}, state, donate=donate)
        assert new["2.weight"] is p["2.weight"] and not torch.equal(new["0.bias"], torch.tensor(before["0.bias"]))
        p = new
    assert np.array_equal(p["2.weight"].detach().numpy(), before["2.weight"])


# The choice of a backend


class Tagged(torch.Tensor):
    """A user's subclass, from a module that is not torch's."""


def test_the_choice(monkeypatch):
    opt = ss.adamw(0.1)
    shown = ss.explain(opt, {"w": torch.ones(3), "h": torch.ones(3, dtype=torch.bfloat16)})
    assert shown.backend("w") == shown.backend("h") == "numba" and "torch" in str(shown)
    assert ss.explain(opt, torch.nn.Parameter(torch.ones(3))).backend("") == "numba"
    assert ss.explain(opt, torch.ones(3).as_subclass(Tagged)).backend("") == "torch"
    assert ss.explain(ss.adafactor(), torch.ones(3, 4)).backend("") == "torch"
    with ss.use_backend("torch"):
        assert ss.explain(opt, torch.ones(3)).backend("") == "torch"
    with monkeypatch.context() as patch:
        patch.setattr(Numba, "missing", lambda self: "numba is not installed")
        assert ss.explain(ss.adam(0.1), torch.ones(3)).backend("") == "torch"
    with ss.use_backend("numpy"), pytest.raises(BackendError, match="does not run on Tensor"):
        ss.explain(opt, torch.ones(3))


@both
def test_a_subclass_beside_plain_tensors(donate):
    """The same optimizer, the same shapes: the plan of plain tensors is not used for others."""
    opt, g = ss.adamw(0.1), {"a": torch.ones(3), "b": torch.ones(3)}
    for kind in (torch.Tensor, Tagged, torch.Tensor, Tagged):
        p = {"a": torch.ones(3), "b": torch.ones(3).as_subclass(kind)}
        state = opt.init(p)
        for _ in range(3):
            p, state = opt.step(p, g, state, donate=donate)
        assert torch.equal(p["a"], p["b"].as_subclass(torch.Tensor))


def test_another_device_is_another_plan():
    kind = libraries.of(torch.ones(1)).kind
    assert kind(torch.ones(3)) != kind(torch.ones(3, device="meta"))
    assert libraries.of(torch.ones(1)).memory(torch.ones(3, device="meta")) is None


@pytest.mark.parametrize("warm", [False, True])
def test_gradients_of_other_kinds(warm):
    """A subclass is a gradient like any other, a sparse one is stepped by rows; one elsewhere is refused."""
    opt, p = ss.sgd(0.5), {"w": torch.ones(3)}
    state = opt.init(p)
    for _ in range(2 * warm):
        opt.step(p, {"w": torch.ones(3)}, state)
    assert opt.step(p, {"w": torch.ones(3).as_subclass(Tagged)}, state)[0]["w"].tolist() == [0.5] * 3
    assert opt.step(p, {"w": torch.ones(3).to_sparse()}, state)[0]["w"].tolist() == [0.5] * 3
    with pytest.raises(LeafError, match="on one device"):
        opt.step(p, {"w": torch.ones(3, device="meta")}, state)


def test_mixed_libraries_are_refused():
    opt, p = ss.sgd(0.1), {"w": torch.ones(3)}
    with pytest.raises(LeafError, match="of torch, its gradient of numpy"):
        opt.step(p, {"w": np.ones(3)}, opt.init(p))


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_tensors_of_inference_mode_are_not_donated_outside_of_it(backend):
    with torch.inference_mode():
        params = {"a": torch.ones(3), "b": torch.ones(3)}
    optimizer, grads = ss.adamw(1e-2), {"a": torch.ones(3), "b": torch.ones(3)}
    state = optimizer.init({name: x.clone() for name, x in params.items()})
    with ss.use_backend(backend):
        for _ in range(2):
            with pytest.raises(DonationError, match=r"'a' was made under torch.inference_mode.*clone"):
                optimizer.step(params, grads, state, donate=True)
        assert all(torch.equal(x, torch.ones(3)) for x in params.values())
        new, _ = optimizer.step(params, grads, state)
    assert new["a"][0] < 1
