"""`opt.step` inside the user's own torch.compile(fullgraph=True): the numbers, and how often it compiles."""

import subprocess
import sys

import optree
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import samestep as ss


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    torch.manual_seed(0)


def compiled(function, backend="aot_eager"):
    """The function without any break in its graph, and what counts its compilations."""
    counter = CompileCounterWithBackend(backend)
    return torch.compile(function, fullgraph=True, backend=counter), counter


def near(ours, theirs, most=1e-6):
    for a, b in zip(optree.tree_leaves(ours), optree.tree_leaves(theirs), strict=True):
        torch.testing.assert_close(
            torch.as_tensor(a, dtype=torch.float64).detach(), torch.as_tensor(b, dtype=torch.float64).detach(),
            rtol=most, atol=most,
        )  # fmt: skip


def start():
    return {"w": torch.randn(4, 3), "deep": [torch.randn(5), torch.tensor(0.5)]}


def slope(p):
    return optree.tree_map(lambda x: torch.cos(x) * 0.5, p)


LIMITS = {"adamw": 2, "nadam": 3, "clipped lamb": 2, "scheduled": 2, "accumulated": 2}


@pytest.mark.parametrize("name", LIMITS)
def test_ten_steps(name):
    """The step count grows and lr changes: what is compiled first takes both for constants, what comes next neither."""
    opt = {
        "adamw": lambda: ss.adamw(weight_decay=0.1),
        "nadam": ss.nadam,
        "clipped lamb": lambda: ss.chain(ss.clip_by_global_norm(0.5), ss.lamb(0.1), ss.cautious()),
        "scheduled": lambda: ss.adam(lambda step: 0.1 / (1 + step)),
        "accumulated": lambda: ss.chain(ss.accumulate(k=2), ss.adam(0.1)),
    }[name]()
    step, counter = compiled(lambda p, state, **numbers: opt.step(p, slope(p), state, **numbers))
    p = start()
    state, q = opt.init(p), p
    plain = state
    for t in range(10):
        numbers = {} if name == "scheduled" else {"lr": 0.1 / (t + 1)}
        alone = opt.step(p, slope(p), state, **numbers)
        p, state = step(p, state, **numbers)
        near((p, state), alone, 2e-7)
        q, plain = opt.step(q, slope(q), plain, **numbers)
    assert counter.frame_count <= LIMITS[name]
    near(opt.step(p, slope(p), state), opt.step(q, slope(q), plain))  # ten steps on, and then outside


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_as_torch_compiles_by_default():
    opt = ss.adamw(weight_decay=0.1)
    step, counter = compiled(lambda p, state, lr: opt.step(p, slope(p), state, lr=lr), "inductor")
    p = torch.randn(5)
    state, q = opt.init(p), p
    plain = state
    for t in range(5):
        lr = torch.tensor(0.1 / (t + 1))
        alone = opt.step(p, slope(p), {**state, "step": t}, lr=lr)
        p, state = step(p, {**state, "step": torch.tensor(t)}, lr)
        near((p, state), alone, 2e-7)
        q, plain = opt.step(q, slope(q), plain, lr=lr)
    near((p, state), (q, plain))
    assert counter.frame_count == 1


def test_without_a_compiler_it_runs_as_outside():
    opt, p = ss.adamw(0.1), start()
    step, counter = compiled(lambda p, state: opt.step(p, slope(p), state), "eager")
    state = plain = opt.init(p)
    q = p
    for _ in range(5):
        p, state = step(p, state)
        q, plain = opt.step(q, slope(q), plain)
        assert all(map(torch.equal, optree.tree_leaves(p), optree.tree_leaves(q)))
    assert counter.frame_count == 2 and state["step"] == 5


def test_the_other_verbs():
    opt = ss.chain(ss.adam(0.1), ss.lookahead(k=2))

    def all_of_them(p):
        state = opt.init(p)
        deltas, state = opt.update(p, slope(p), state)
        p = optree.tree_map(torch.add, p, deltas)
        return p, state, opt.eval_params(p, state)

    p = torch.randn(3)
    plain = all_of_them(p)
    near(compiled(all_of_them)[0](p), plain)


def test_modules_train():
    """The gradient and the step in one graph."""
    opt, p = ss.adam(0.05), {k: x.detach() for k, x in torch.nn.Linear(3, 1).named_parameters()}
    x = torch.randn(16, 3)

    def loss(p):
        return ((x @ p["weight"].T + p["bias"] - x.sum(1, keepdim=True)) ** 2).mean()

    train, counter = compiled(lambda p, state: opt.step(p, torch.func.grad(loss)(p), state))
    state, first = opt.init(p), loss(p)
    for _ in range(50):
        p, state = train(p, state)
    assert loss(p) < 0.2 * first and counter.frame_count == 2


def test_leaves_that_have_nothing():
    """Frozen ones have no state, and a gradient may be None."""
    opt = ss.groups({"b": ss.freeze()}, default=ss.nadam(0.1))
    p = {"a": torch.ones(3), "b": torch.ones(2), "c": torch.ones(4)}
    g = {"a": torch.ones(3), "b": None, "c": None}
    state = plain = opt.init(p)
    step, counter = compiled(lambda p, g, state: opt.step(p, g, state))
    q = p
    for _ in range(8):
        (p, state), (q, plain) = step(p, g, state), opt.step(q, g, plain)
        near((p, state["m"], state["mu_product"]), (q, plain["m"], plain["mu_product"]))
        assert state["step"] == plain["step"] and state["m"]["b"] is None
    assert counter.frame_count <= 4  # the count becomes a nesting of counts, too


def test_parameters_come_back_plain():
    opt, p = ss.adam(0.1), {"w": torch.nn.Parameter(torch.ones(3))}
    step, _ = compiled(lambda p, g, state: opt.step(p, g, state))
    new, state = step(p, {"w": torch.ones(3)}, opt.init(p))
    assert all(x.grad_fn is None and not x.requires_grad for x in (new["w"], state["m"]["w"]))
    near(new, opt.step(p, {"w": torch.ones(3)}, opt.init(p))[0])


def test_donated_tensors_are_written():
    opt, p, g = ss.adam(0.1), {"w": torch.ones(3)}, {"w": torch.ones(3)}
    state = opt.init(p)
    wanted, after = opt.step(p, g, state)
    step, _ = compiled(lambda p, g, state: opt.step(p, g, state, donate=True))
    new, state_after = step(p, g, state)
    near((new, state_after), (wanted, after))
    near((p, state["m"]), (wanted, after["m"]))
    assert new["w"].data_ptr() == p["w"].data_ptr()


def test_derivatives_inside_and_through():
    opt, p, g = ss.adam(), {"w": torch.ones(3)}, {"w": torch.ones(3)}
    state = opt.init(p)

    def after(lr):
        return opt.step(p, g, state, lr=lr)[0]["w"].sum()

    lr = torch.tensor(0.1, requires_grad=True)
    compiled(after)[0](lr).backward()
    near(lr.grad, torch.tensor(-3.0))
    near(compiled(torch.func.grad(after))[0](torch.tensor(0.1)), torch.tensor(-3.0))
    rates = torch.tensor([0.1, 0.2])
    near(compiled(torch.func.vmap(after))[0](rates), 3 - 3 * rates)


def test_the_tracer_is_not_imported_before_torch_compile_is():
    code = """
import sys, torch, samestep as ss
p = torch.ones(3)
opt = ss.adam(0.1)
state = opt.init(p)
opt.step(p, p, state)
assert "torch._dynamo" not in sys.modules
new, _ = torch.compile(lambda p, s: opt.step(p, p, s), fullgraph=True, backend="eager")(p, state)
assert torch.equal(new, opt.step(p, p, state)[0])
assert not any(type(finder).__module__.startswith("samestep") for finder in sys.meta_path)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)
