"""Steps that autograd or torch.func records: through several of them, with respect to params, gradients and numbers."""

import numpy as np
import optree
import pytest
import torch

import samestep as ss
from samestep.errors import DonationError, HyperparameterError
from samestep_conformance import checks
from samestep_conformance.golden.families import CASES

SMALL = {"matrix": (5, 4), "bias": (7,), "scalar": (), "quiet": (5,)}


def named(*names):
    found = {case.name: case.ours(ss) for case in CASES if case.name in names}
    assert found.keys() == set(names)
    return found


FEW = named(
    "adamw", "lion_cautious", "lamb", "ftrl_l1_l2", "lookahead", "skip_nonfinite", "nadam", "clip_adamw",
    "accumulate_adam", "radam", "adafactor", "muon", "dog",
)  # fmt: skip
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def near(ours, theirs, most):
    """Every array and number within so much of the largest entry of its array."""
    for a, b in zip(optree.tree_leaves(ours), optree.tree_leaves(theirs), strict=True):
        a, b = (np.asarray(checks.host(x.detach() if isinstance(x, torch.Tensor) else x)) for x in (a, b))
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=0, atol=most * np.nanmax(np.abs(b), initial=1e-30))


def distinct():
    """One case for each structure and options."""
    found = {}
    for case in CASES:
        found.setdefault(case.ours(ss).chains[0].structure, case)
    return {case.name: case.ours(ss) for case in found.values()}


# The same numbers


@DTYPES
@pytest.mark.parametrize("name", FEW)
def test_as_the_step_outside(name, dtype):
    opt = FEW[name]
    p = checks.moved(checks.params(dtype, SMALL), "torch", dtype)
    state = opt.init(p)
    for t in range(1, 6):
        g = {k: torch.cos(9 * t * x) * (x > 0) for k, x in p.items()}
        plain = opt.step(p, g, state)
        found = opt.step(p, {k: x.clone().requires_grad_() for k, x in g.items()}, state)
        near(found, plain, 2e-7 if dtype == "float32" else 1e-13)
        assert all(found[0][k].grad_fn is not None for k in p)
        assert not any(x.requires_grad for x in optree.tree_leaves(plain) if isinstance(x, torch.Tensor))
        assert found[1]["step"] == t and type(found[1]["step"]) is int
        p, state = plain


@pytest.mark.parametrize("what", ["gradient", "history of a gradient", "history of a param", "slot", "number"])
def test_what_is_recorded(what):
    opt, p, g = ss.adam(0.1), {"w": torch.nn.Parameter(torch.ones(3))}, {"w": torch.ones(3)}
    state, lr = opt.init(p), {}
    for _ in range(3):  # the careful look, and the quick one
        plain, _ = opt.step(p, g, state, lr=torch.tensor(0.1))
        assert plain["w"].is_leaf and plain["w"].requires_grad
    leaf = torch.ones(3, requires_grad=True)
    match what:
        case "gradient":
            g = {"w": leaf}
        case "history of a gradient":
            g = {"w": leaf * 1}
        case "history of a param":
            p = {"w": leaf * 1}
        case "slot":
            state = {**state, "m": {"w": leaf * 0}}
        case "number":
            leaf = torch.tensor(0.1, requires_grad=True)
            lr = {"lr": leaf}
    new, after = opt.step(p, g, state, **lr)
    assert type(new["w"]) is torch.Tensor and torch.allclose(new["w"], plain["w"], rtol=2e-7)
    assert torch.autograd.grad(new["w"].sum(), leaf)[0].isfinite().all()
    before = [x.clone() for x in (p["w"], g["w"], state["m"]["w"])]
    place = {"slot": "state", "number": "lr", "history of a param": "params"}.get(what, "grads")
    with pytest.raises(DonationError, match=f"a history in {place} is recorded"):
        opt.step(p, g, state, donate=True, **lr)
    assert all(map(torch.equal, before, (p["w"], g["w"], state["m"]["w"])))
    with torch.no_grad():
        new, after = opt.step(p, g, state, **lr)
    assert new["w"].is_leaf and new["w"].requires_grad == p["w"].requires_grad
    assert not any(x.requires_grad for x in optree.tree_leaves(after) if isinstance(x, torch.Tensor))


def test_leaves_without_a_gradient_and_frozen_ones():
    opt = ss.groups({"f": ss.freeze()}, default=ss.nadam(0.1))
    p = {k: torch.nn.Parameter(torch.ones(2)) for k in "abf"}
    state, lr = opt.init(p), torch.tensor(0.1, requires_grad=True)
    g = {"a": torch.ones(2), "b": None, "f": torch.ones(2)}
    new, state = opt.step(p, g, state, lr=lr)
    assert new["b"] is p["b"] and new["f"] is p["f"] and state["step"] == {"a": 1, "b": 0, "f": None}
    new, state = opt.step(new, {**g, "b": torch.ones(2)}, state, lr=lr)
    assert state["step"] == {"a": 2, "b": 1, "f": None}
    assert torch.autograd.grad(new["a"].sum() + new["b"].sum(), lr)[0] < -3


def test_complex_leaves():
    opt, start = ss.adam(0.1), torch.randn(3, dtype=torch.complex128)
    p, g = start.clone().requires_grad_(), torch.randn(3, dtype=torch.complex128)
    new, _ = opt.step(p, g.clone().requires_grad_(), opt.init(p))
    near(new, opt.step(start, g, opt.init(start))[0], 1e-14)
    assert torch.allclose(torch.autograd.grad(new.real.sum(), p)[0], torch.ones(3, dtype=torch.complex128))


# Derivatives


def loss(w):
    return (torch.sin(w) * torch.tensor([1.0, -2.0, 0.5], dtype=w.dtype)).sum() + 0.1 * (w**4).sum()


def trained(opt, w, steps=3, **numbers):
    """Some steps on a loss, all of it recorded."""
    p = {"w": w, "b": w[:2] * 2}
    state = opt.init(p)
    for _ in range(steps):
        value = loss(p["w"]) + (p["b"] ** 2).sum()
        g = dict(zip(p, torch.autograd.grad(value, list(p.values()), create_graph=True), strict=True))
        p, state = opt.step(p, g, state, **numbers)
    return torch.cat([*p.values()])


@pytest.mark.parametrize("name", ["adamw", "lamb", "clip_adamw", "nadam", "radam", "lookahead", "ftrl"])
def test_derivatives_are_finite_differences(name):
    opt = named(name)[name]
    w = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    lr = torch.tensor(0.05, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w, lr: trained(opt, w, lr=lr), (w, lr))


def test_derivatives_of_other_numbers():
    w = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)
    numbers = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in (0.05, 0.9, 0.99, 1e-3, 0.1)]
    names = ("lr", "beta1", "beta2", "eps", "weight_decay")
    opt = ss.adamw()
    assert torch.autograd.gradcheck(lambda *x: trained(opt, w, **dict(zip(names, x, strict=True))), numbers)


# derivatives of eigenvectors are infinite where two eigenvalues are the same
ROOTS_OF_MATRICES = ("shampoo", "soap")


@pytest.mark.parametrize("name", sorted(n for n in distinct() if not n.startswith(ROOTS_OF_MATRICES)))
def test_derivatives_are_finite_where_a_gradient_is_zero(name):
    opt, p = distinct_cached(name), checks.moved(checks.params("float64", SMALL), "torch")
    p = {k: x.requires_grad_() for k, x in p.items()}
    zeros = {k: torch.zeros_like(x).requires_grad_() for k, x in p.items()}
    state, new = opt.init(p), p
    for t in range(6):
        ones = {k: (torch.arange(x.numel()) % 2).reshape(x.shape) * (t + (k == "bias")) for k, x in p.items()}
        new, state = opt.step(new, {k: zeros[k] + ones[k] for k in p}, state)
    given = [*p.values(), *zeros.values()]
    found = torch.autograd.grad(sum(x.sum() for x in new.values()), given, allow_unused=True)
    assert any(x is not None for x in found)
    assert all(x.isfinite().all() for x in found if x is not None)


def distinct_cached(name, found={}):  # noqa: B006
    if not found:
        found |= distinct()
    return found[name]


def test_eval_params_and_update_record():
    opt = ss.chain(ss.sgd(0.1), ss.lookahead(k=1))
    p, lr = torch.tensor([1.0, 2.0]), torch.tensor(0.1, requires_grad=True)
    deltas, _ = opt.update(p, torch.ones(2), opt.init(p), lr=lr)
    assert torch.autograd.grad(deltas.sum(), lr)[0] == -1  # half of the way
    new, state = opt.step(p, torch.ones(2), opt.init(p), lr=lr)
    at = opt.eval_params(new, state)
    assert at.grad_fn is not None and torch.autograd.grad(at.sum(), lr)[0] < 0
    plain, _ = opt.update(torch.nn.Parameter(p), torch.ones(2), opt.init(p))
    assert not plain.requires_grad


# torch.func


@pytest.mark.parametrize("name", ["adamw", "lamb", "clip_adamw", "nadam", "radam", "lion_cautious", "lookahead"])
def test_an_ensemble(name):
    """vmap over members with a learning rate each is the loop over them."""
    opt, members = named(name)[name], 3
    generator = torch.Generator().manual_seed(0)
    p = {"w": torch.randn(members, 4, generator=generator), "b": torch.randn(members, generator=generator)}
    lr = torch.tensor([0.1, 0.2, 0.01])

    def member(tree, k):
        return optree.tree_map(lambda x: x[k], tree)

    apart = [[member(p, k), opt.init(member(p, k))] for k in range(members)]
    state = torch.func.vmap(opt.init)(p)
    assert state["step"].tolist() == [0] * members and state["step"].dtype is torch.int32
    for t in range(4):
        g = {"w": torch.cos(p["w"] + t), "b": torch.sin(p["b"])}
        ones = [opt.step(*(member(x, k) for x in (p, g, state)), lr=lr[k].item()) for k in range(members)]
        p, state = torch.func.vmap(lambda p, g, s, lr: opt.step(p, g, s, lr=lr))(p, g, state, lr)
        for k, alone in enumerate(apart):
            near(member((p, state), k), ones[k], 2e-7)
            mine = {"w": torch.cos(alone[0]["w"] + t), "b": torch.sin(alone[0]["b"])}
            alone[:] = opt.step(alone[0], mine, alone[1], lr=lr[k].item())
            near(member((p, state), k), tuple(alone), 1e-6)
    assert state["step"].tolist() == [4] * members


def test_only_the_number_is_batched():
    opt, p = ss.adam(), torch.ones(3)
    state = opt.init(p)
    for _ in range(3):
        new, after = torch.func.vmap(lambda lr: opt.step(p, p, state, lr=lr))(torch.tensor([0.1, 0.2]))
        assert torch.allclose(new, torch.tensor([[0.9], [0.8]]).expand(2, 3)) and after["step"].tolist() == [1, 1]
        opt.step(p, p, state)


def test_what_torch_func_lets_out_goes_on_outside():
    opt, start = ss.nadam(0.1), torch.ones(3)

    def after(lr, p, state):
        p, state = opt.step(p, torch.cos(p), state, lr=lr)
        return p.sum(), (p, state)

    slope, (p, state) = torch.func.grad(after, has_aux=True)(torch.tensor(0.1), start, opt.init(start))
    assert slope.isfinite() and all(isinstance(x, torch.Tensor) for x in optree.tree_leaves(state))
    assert not p.requires_grad
    plain = opt.step(start, torch.cos(start), opt.init(start))
    for _ in range(2):
        near((p, state), plain, 2e-7)
        p, state = opt.step(p, torch.cos(p), state)
        plain = opt.step(plain[0], torch.cos(plain[0]), plain[1])
    assert state["step"] == 3 and type(state["step"]) is int


def test_per_member_gradients_of_lr():
    """grad inside of vmap."""
    opt = ss.adam()

    def after(lr, w):
        p = {"w": w}
        return opt.step(p, {"w": torch.cos(w)}, opt.init(p), lr=lr)[0]["w"].sum()

    found = torch.func.vmap(torch.func.grad(after))(torch.tensor([0.1, 0.2]), torch.ones(2, 3))
    assert torch.allclose(found, torch.tensor([-3.0, -3.0]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_forward_mode():
    opt, p = ss.sgd(0.1), torch.tensor([1.0, 0.5])
    state = opt.init(p)

    def after(lr, p):
        return opt.step(p, torch.cos(p), state, lr=lr)[0]

    for _ in range(3):  # the quick look, too
        after(0.1, p)
    wanted = 1 + 0.1 * torch.sin(p)
    value, slope = torch.func.jvp(after, (torch.tensor(0.1), p), (torch.tensor(1.0), torch.ones(2)))
    near(value, after(0.1, p), 2e-7)
    near(slope, wanted - torch.cos(p), 2e-7)
    with torch.autograd.forward_ad.dual_level():
        new = after(0.1, torch.autograd.forward_ad.make_dual(p, torch.ones(2)))
        near(torch.autograd.forward_ad.unpack_dual(new).tangent, wanted, 2e-7)


def test_donation_is_refused_inside():
    opt, p = ss.sgd(0.1), torch.ones(2, 3)
    with pytest.raises(DonationError, match="recorded"):
        torch.func.vmap(lambda p: opt.step(p, p, opt.init(p), donate=True)[0])(p)


def test_a_recorded_number_and_the_params_of_another_library():
    optimizer, params = ss.sgd(0.1), {"w": np.ones(3)}
    lr = torch.tensor(0.1, requires_grad=True)
    with pytest.raises(HyperparameterError, match="'lr' cannot be known now, in another library"):
        optimizer.step(params, params, optimizer.init(params), lr=lr)
    assert optimizer.step({}, {}, optimizer.init({}), lr=lr) == ({}, {"step": 1})


@pytest.mark.parametrize("nested", ["by leaf", "by group"])
def test_a_recorded_number_in_a_nesting_is_seen_after_steps_that_were_not(nested):
    """A leaf that woke late has counts and number slots of its own; so has a group."""
    optimizer, params = ss.nadam(0.01), {"a": torch.ones(3), "b": torch.ones(2)}
    if nested == "by group":
        optimizer = ss.groups({"a": ss.nadam(0.01)}, default=ss.nadam(0.02))
    grads = {k: torch.ones(p.shape) for k, p in params.items()}
    params, state = optimizer.step(params, grads | {"b": None}, optimizer.init(params))
    for _ in range(3):
        params, state = optimizer.step(params, grads, state)
    key = "a"
    known = state["mu_product"][key]
    mu = torch.tensor(known if isinstance(known, float) else known["a"], dtype=torch.float64, requires_grad=True)
    slot = state["mu_product"] | {key: mu if isinstance(known, float) else known | {"a": mu}}
    new, _ = optimizer.step(params, grads, state | {"mu_product": slot})
    assert new["a"].requires_grad and torch.autograd.grad(new["a"].sum(), mu)[0] != 0


def test_a_schedule_that_is_recorded_where_nothing_else_is_is_refused():
    """Its derivative would be lost."""
    lr = torch.tensor(0.1, requires_grad=True)
    optimizer, params = ss.sgd(lambda count: lr), {"w": torch.ones(3)}
    for _ in range(2):
        with pytest.raises(HyperparameterError, match=r"the schedule of lr gave .* pass it as step\(..., lr=...\)"):
            optimizer.step(params, {"w": torch.ones(3)}, optimizer.init(params))
    assert optimizer.step(params, {"w": torch.ones(3)}, optimizer.init(params), lr=lr)[0]["w"].requires_grad
