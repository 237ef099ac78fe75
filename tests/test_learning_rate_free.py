"""A part that returns lr, and the methods that find their own step size before there is a gradient."""

import numpy as np
import pytest

import samestep as ss


@ss.direction()
def halved(u, *, lr):
    """Takes half of the chain's step size."""
    return {"u": u, "lr": lr / 2}


def test_later_parts_have_the_lr_that_a_part_returns():
    opt = ss.chain(halved(), ss.decay(0.5), ss.descend(1.0))
    params = np.array([2.0])
    found = opt.step(params, np.array([1.0]), opt.init(params))[0]
    assert found == 2.0 * (1 - 0.5 * 0.5) - 0.5
    assert opt.step(params, np.array([1.0]), opt.init(params), lr=0.0)[0] == 2.0
    assert opt.hyperparameters() == {"lr": 1.0, "weight_decay": 0.5}


def test_lr_is_a_number():
    @ss.direction()
    def wrong(u):
        return {"lr": u}

    opt = ss.chain(wrong(), ss.descend(1.0))
    with pytest.raises(ss.TraceError, match="'lr' of wrong is one number"):
        opt.init(np.ones(2))


@pytest.mark.parametrize("make", [ss.prodigy, ss.dadapt_adam])
@pytest.mark.parametrize("how", ["no gradient", "no lr"])
def test_before_there_is_anything_to_go_by_nothing_changes(make, how):
    """Decay and the count of the bias correction neither (part C, C10, line 4)."""
    opt = make(weight_decay=0.1, bias_correction=True)
    params, grads = {"w": np.array([1.0, -2.0])}, {"w": np.array([0.5, 0.25])}
    start = opt.init(params)
    new, state = params, start
    for _ in range(3):
        if how == "no gradient":
            new, state = opt.step(new, {"w": np.zeros(2)}, state)
        else:
            new, state = opt.step(new, grads, state, lr=0.0)
    assert np.array_equal(new["w"], params["w"]) and state.pop("step") == 3
    for slot, value in state.items():
        assert np.array_equal(
            np.ravel(value["w"] if isinstance(value, dict) else value),
            np.ravel(start[slot]["w"] if isinstance(value, dict) else start[slot]),
        ), slot
    late = opt.step(new, grads, {"step": 3, **state})
    at_once = opt.step(params, grads, start)
    assert np.array_equal(late[0]["w"], at_once[0]["w"]) and late[1]["k"] == 1.0


def test_first_goes_with_an_init_that_needs_it():
    for wrong in ({"first": 1.0}, {"init": "distance"}):
        with pytest.raises(ss.HyperparameterError, match="first goes with init"):
            ss.dog(**wrong)
