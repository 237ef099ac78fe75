"""Modifiers that live on what only the caller has, and clipping by units, beside torch, optax and pytorch_optimizer."""

import math
import pickle
import re
import runpy
from importlib.metadata import distribution
from types import SimpleNamespace

import jax
import numpy as np
import pytest

import samestep as ss
from samestep_conformance.golden.families.gradients import half

METRICS = [3.0, 2.0, 2.0, 1.9999, 2.5, 2.1, 2.0, 1.5, 1.5, 1.6, 1.7, 1.5, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4, 1.4]


@pytest.mark.parametrize("mode", ["min", "max"])
@pytest.mark.parametrize("threshold_mode", ["rel", "abs"])
def test_plateau_is_torch(mode, threshold_mode):
    torch = pytest.importorskip("torch")
    options = {"patience": 2, "cooldown": 1, "threshold": 1e-2, "factor": 0.5, "mode": mode}
    weight = torch.zeros(1, requires_grad=True)
    theirs = torch.optim.SGD([weight], lr=1.0)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, threshold_mode=threshold_mode, min_lr=0.1, **options)
    opt = ss.chain(ss.reduce_on_plateau(threshold_mode=threshold_mode, min_scale=0.1, **options), ss.sgd(1.0))
    params = np.zeros(1)
    state, seen = opt.init(params), set()
    for metric in METRICS:
        scheduler.step(metric)
        before = params
        params, state = opt.step(params, np.ones(1), state, metric=metric)
        assert state["scale"] == theirs.param_groups[0]["lr"] and np.allclose(before - params, state["scale"], 1e-15)
        silent = opt.step(params, np.ones(1), state)[1]
        assert silent == state | {"step": state["step"] + 1}, "a step without a metric"
        seen.add(state["scale"])
    assert len(seen) > 2 and 0.1 in seen


def test_plateau_inclusive_is_optax():
    optax, jax = pytest.importorskip("optax"), pytest.importorskip("jax")
    with jax.enable_x64(True):
        theirs = optax.contrib.reduce_on_plateau(factor=0.5, patience=3, rtol=1e-4)
        update, grads = jax.jit(theirs.update), jax.numpy.ones(1)
        their_state = theirs.init(grads)
        opt = ss.chain(ss.reduce_on_plateau(factor=0.5, patience=3, patience_inclusive=True), ss.sgd(1.0))
        params = np.zeros(1)
        state, scales = opt.init(params), []
        for metric in METRICS:
            scaled, their_state = update(grads, their_state, value=metric)
            params, state = opt.step(params, np.ones(1), state, metric=metric)
            assert state["scale"] == float(scaled[0])
            scales.append(state["scale"])
    assert len(set(scales)) > 2


def test_plateau_inclusive_and_absolute_is_keras():
    """Whose cooldown is one longer for the same pause: it counts the metric in which it ends."""
    keras = pytest.importorskip("keras")
    options = {"factor": 0.5, "patience": 3}
    theirs = keras.callbacks.ReduceLROnPlateau(monitor="loss", min_delta=0.3, mode="min", cooldown=2, **options)
    theirs.set_model(SimpleNamespace(optimizer=SimpleNamespace(learning_rate=1.0)))
    theirs.on_train_begin()
    rule = ss.reduce_on_plateau(patience_inclusive=True, threshold=0.3, threshold_mode="abs", cooldown=1, **options)
    opt, params = ss.chain(rule, ss.sgd(1.0)), np.zeros(1)
    state, scales = opt.init(params), []
    for epoch, metric in enumerate(METRICS):
        theirs.on_epoch_end(epoch, {"loss": metric})
        params, state = opt.step(params, np.ones(1), state, metric=metric)
        scales.append(state["scale"])
        assert scales[-1] == theirs.model.optimizer.learning_rate
    assert len(set(scales)) > 2


@pytest.mark.parametrize("interval", [1, 3])
def test_loss_scaling_is_torch(interval):
    """Its rule, `torch._amp_update_scale_`, and its skipped steps."""
    torch = pytest.importorskip("torch")
    opt = ss.chain(ss.loss_scaling(first_scale=256.0, growth_interval=interval, backoff_factor=0.25), ss.adam(0.1))
    told, plain = ss.chain(ss.unscale(), ss.adam(0.1)), ss.adam(0.1)
    params = [np.ones(3), np.ones(2)]
    state, told_state, plain_state = (o.init(params) for o in (opt, told, plain))
    scale, tracker, expected = torch.tensor(256.0), torch.tensor(0, dtype=torch.int32), params
    for t, bad in enumerate([0, 0, 0, 0, math.inf, 0, 0, 0, 0, math.nan, math.nan, 0]):
        grads = [np.arange(3.0) - t, np.ones(2)]
        scaled = [g * state["loss_scale"] for g in grads]
        scaled[1][0] += bad
        found = float(bad != 0)
        told_params, told_state = told.step(params, scaled, told_state, grad_scale=float(scale), found_inf=found)
        params, state = opt.step(params, scaled, state)
        torch._amp_update_scale_(scale, tracker, torch.tensor(found), 2.0, 0.25, interval)
        assert state["loss_scale"] == float(scale) and state["streak"] == float(tracker)
        if not bad:
            expected, plain_state = plain.step(expected, grads, plain_state)
        for ours, same, theirs in zip(params, told_params, expected, strict=True):
            assert np.array_equal(ours, theirs) and np.array_equal(same, theirs)
        assert state["unscaled"] == told_state["unscaled"] == plain_state["step"]


def test_unscale_keeps_its_numbers_on_the_device():
    jax = pytest.importorskip("jax")
    opt, params = ss.chain(ss.unscale(), ss.sgd(1.0)), jax.numpy.ones(2)
    step = jax.jit(lambda p, s, scale, found: opt.step(p, p, s, grad_scale=scale, found_inf=found))
    for found, expected in ((0.0, 0.5), (1.0, 1.0)):
        new, state = step(params, opt.init(params), jax.numpy.asarray(2.0), jax.numpy.asarray(found))
        assert np.array_equal(new, np.full(2, expected)) and float(state["unscaled"]) == 1 - found


@pytest.mark.parametrize("b", [0.5, 20.0])
def test_flooding_is_the_gradient_of_the_flooded_loss(b):
    torch = pytest.importorskip("torch")
    w = torch.arange(4.0, dtype=torch.float64, requires_grad=True)
    loss = (w * w).sum()
    ((loss - b).abs() + b).backward()
    opt, params = ss.chain(ss.flooding(b), ss.sgd(1.0)), np.arange(4.0)
    new = opt.step(params, 2 * params, opt.init(params), loss=loss.item())[0]
    assert np.array_equal(params - new, w.grad.numpy())
    assert np.array_equal(opt.step(params, params, opt.init(params), loss=b)[0], params)
    with pytest.raises(ss.HyperparameterError, match="needs loss"):
        opt.step(params, params, opt.init(params))


@pytest.mark.parametrize("shape", [(), (6,), (5, 4), (4, 3, 2), (4, 3, 2, 2)])
def test_adaptive_clip_by_units(shape):
    """Beside timm's for the kernels of torch, and optax's for those of JAX."""
    torch, optax, timm = pytest.importorskip("torch"), pytest.importorskip("optax"), distribution("timm")
    agc = runpy.run_path(timm.locate_file("timm/utils/agc.py"))["adaptive_clip_grad"]  # timm itself needs torchvision
    rng = np.random.default_rng(0)
    p, g = np.asarray(rng.normal(size=shape)), np.asarray(rng.normal(size=shape) * 0.2)
    weight = torch.from_numpy(p.copy())
    weight.grad = torch.from_numpy(g.copy())
    agc(weight, 0.1)
    found = {0: weight.grad.numpy()}
    if len(shape) == 4:  # golden rows have the shorter ones
        with jax.enable_x64(True):
            clip = optax.adaptive_grad_clip(0.1)
            found[-1] = np.asarray(clip.update(jax.numpy.asarray(g), clip.init(p), jax.numpy.asarray(p))[0])
    for axis, theirs in found.items():
        opt = ss.chain(ss.adaptive_clip(0.1, unit_axis=axis), ss.descend(1.0))
        ours = opt.step(np.asarray(p), g, opt.init(p))[0]
        assert np.abs(p - theirs - ours).max() < 1e-15 and not np.array_equal(theirs, g)


def test_the_scaled_norm_does_not_overflow():
    opt = ss.chain(ss.clip_by_global_norm(1.0, scale="max"), ss.descend(1.0))
    for dtype, large in (("float32", 3e38), ("float64", 1e300)):
        params = [np.zeros(2, dtype), np.zeros((0, 3), dtype)]
        new = opt.step(params, [np.array([large, -large], dtype), params[1]], opt.init(params))[0]
        assert np.allclose(new[0], [-math.sqrt(0.5), math.sqrt(0.5)], rtol=1e-6)
        zero = opt.step(params, params, opt.init(params))[0]
        assert np.array_equal(zero[0], params[0])


def test_phi_is_part_of_the_optimizer():
    one = ss.chain(ss.lion(), ss.cautious(phi=half))
    assert pickle.loads(pickle.dumps(one)) == one == ss.chain(ss.lion(), ss.cautious(phi=half)) != ss.lion()
    with pytest.raises(ss.HyperparameterError, match="phi is a function"):
        ss.cautious(phi=0.5)


def torchs(grads, **options):
    torch = pytest.importorskip("torch")
    params = [torch.zeros(g.shape, dtype=torch.float64) for g in grads]
    for p, g in zip(params, grads, strict=True):
        p.grad = torch.from_numpy(g.copy())
    torch.nn.utils.clip_grad_norm_(params, 1.0, **options)
    return [p.grad.numpy() for p in params]


@pytest.mark.parametrize("form", ["torch", "nan", "zero"])
def test_a_global_norm_as_torch_has_it_just_below_the_bound_and_not_finite(form):
    """Torch: min(1, c / (n + 1e-6)), 0 and nan; Keras: all nan; or nothing."""
    opt = ss.chain(ss.clip_by_global_norm(1.0, clip_eps=1e-6, nonfinite=form), ss.descend(1.0))
    for grads in ([0.3, 0.4], [0.6, 0.8 - 5e-7], [0.6, 0.8], [3.0, 4.0], [np.inf, 1.0], [np.nan, 1.0]):
        told = [np.array([g]) for g in grads]
        at = [np.zeros(1), np.zeros(1)]
        ours = [-p for p in opt.step(at, told, opt.init(at))[0]]
        wanted = torchs(told)
        if form != "torch" and not np.isfinite(sum(grads)):
            wanted = [np.full(1, np.nan if form == "nan" else 0.0)] * 2
        for a, b in zip(ours, wanted, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-16, atol=0)


def test_noise_of_the_caller_is_what_is_added():
    """On every library, compiled, inside jit, recorded, in place, of complex leaves; by the step of add_noise alone."""
    torch, rng = pytest.importorskip("torch"), np.random.default_rng(0)
    opt, plain = ss.chain(ss.add_noise(0.25, seed=None), ss.adam(0.1)), ss.adam(0.1)
    params = {"w": np.ones((2, 3), np.float32), "c": np.ones(2, np.complex64)}
    noise = [{k: rng.laplace(size=p.shape).astype(np.float32) * p for k, p in params.items()} for _ in range(2)]
    wanted, state = params, plain.init(params)
    for t, z in enumerate(noise, start=1):
        noisy = {k: g + np.float32(math.sqrt(0.25 / t**0.55)) * z[k] for k, g in params.items()}
        wanted, state = plain.step(wanted, noisy, state)

    def run(step, make, **options):
        found = start = {k: make(p.copy()) for k, p in params.items()}
        grads, state = {k: make(g.copy()) for k, g in params.items()}, opt.init(start)
        for z in noise:
            found, state = step(found, grads, state, noise={k: make(x) for k, x in z.items()}, **options)
        for k, p in found.items():
            p = p.detach() if isinstance(p, torch.Tensor) else p
            np.testing.assert_allclose(np.asarray(p), wanted[k], rtol=3e-7)

    run(opt.step, np.asarray, donate=True)
    with ss.use_backend("numpy"):
        run(opt.step, np.asarray)
    run(opt.step, torch.from_numpy)
    run(opt.step, lambda x: torch.from_numpy(x).requires_grad_())
    run(jax.jit(opt.step), jax.numpy.asarray)
    some = ss.groups(
        {"c": opt, "f": ss.freeze()}, default=plain
    )  # one is given for every leaf; who wants none has none
    start = {"c": params["c"], "f": params["w"].copy(), "w": params["w"]}
    three = {"c": noise[0]["c"], "f": start["f"], "w": None}
    found, after = some.step(start, {**start, "f": None}, some.init(start), noise=three)
    found, after = some.step(found, {**start, "c": None}, after, noise={**three, "c": noise[1]["c"]})
    assert after["step"] == {"c": 1, "f": None, "w": 2} and not np.array_equal(found["c"], start["c"])
    with pytest.raises(ss.HyperparameterError, match="'noise' cannot be overridden in a step"):
        ss.chain(ss.add_noise(0.1), plain).step(params, params, plain.init(params), noise=params)


@ss.direction(noise=ss.zeros)
def keeping(u, noise):
    return {"u": u + noise, "noise": u}


@ss.direction()
def louder(u, *, noise: float = 2.0):
    return {"u": noise * u}


@pytest.mark.parametrize("page, what", [(keeping, "slot"), (louder, "number or option")])
def test_what_a_step_is_given_is_nothing_else_in_the_chain_or_another_group(page, what):
    told = ss.chain(ss.add_noise(0.1, seed=None), ss.descend(0.1))
    says = re.escape(f"a step is given 'noise', which is a {what} of {page()}, too: name that part")
    with pytest.raises(ss.ChainError, match=says):
        ss.chain(told, page())
    with pytest.raises(ss.ChainError, match=says):
        ss.groups({"w": told}, default=ss.chain(page(), ss.descend(0.1)))
    ss.groups({"w": told}, default=ss.chain(page(name="other"), ss.descend(0.1)))


@pytest.mark.parametrize("make", [np.array, jax.numpy.asarray, "torch"])
def test_who_wants_no_noise_may_be_donated_without(make):
    make = pytest.importorskip("torch").tensor if make == "torch" else make
    opt = ss.groups({"w": ss.chain(ss.add_noise(0.25, seed=None), ss.sgd(1.0))}, default=ss.sgd(1.0))
    params, grads = ({leaf: make(np.ones(2, np.float32)) for leaf in "bw"} for _ in range(2))
    with pytest.raises(ss.DonationError, match="param of leaf 'w' and noise of leaf 'w' overlap"):
        opt.step(params, grads, opt.init(params), noise=params | {"b": None}, donate=True)
    noise = {"w": make(np.ones(2, np.float32)), "b": None}
    new, _ = opt.step(params, grads, opt.init(params), noise=noise, donate=True)
    assert np.asarray(new["w"]).tolist() == [-0.5, -0.5] and np.asarray(new["b"]).tolist() == [0.0, 0.0]


def test_rows_are_stepped_beside_noise_that_is_built_in_and_not_beside_that_of_the_caller():
    rows = {"w": ss.RowSparse([0], np.ones((1, 2))), "b": np.ones(2)}
    params = {"w": np.ones((2, 2)), "b": np.ones(2)}
    for seed, noise in ((0, {}), (None, {}), (None, {"noise": params})):
        opt = ss.groups({"w": ss.sgd(0.5)}, default=ss.chain(ss.add_noise(0.1, seed=seed), ss.sgd(0.5)))
        if seed is None:
            with pytest.raises(ss.LeafError, match="leaf 'w' of grads is row-sparse"):
                opt.step(params, rows, opt.init(params), **noise)
        else:
            new, _ = opt.step(params, rows, opt.init(params))
            assert new["w"].tolist() == [[0.5, 0.5], [1.0, 1.0]] and not np.array_equal(new["b"], [0.5, 0.5])
