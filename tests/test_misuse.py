"""Every misuse by name, with its whole message: the leaf by path, the rule, the value, the remedy. Nothing changes."""

import math

import array_api_strict
import numpy as np
import optree
import pytest

import samestep as ss
from samestep.errors import ChainError, DonationError, HyperparameterError, LeafError, StateError, TreeError

OPT = ss.adamw(1e-3)
SVRG = ss.svrg(0.1, every=3)
NOISY = ss.chain(ss.add_noise(0.1, seed=None), ss.sgd(0.1))


def tree(path=None, value=None):
    """Nested params (or grads, or a slot); the leaf of this path is another."""
    rng = np.random.default_rng(0)
    found = {"layers": [{"w": rng.normal(size=(2, 3)), "bias": rng.normal(size=3)}], "head": rng.normal(size=4)}
    at = found if path == "head" else found["layers"][0]
    return found if path is None else at.__setitem__(path, value) or found


def bits(value):
    return [x.tobytes() if isinstance(x, np.ndarray) else x for x in optree.tree_leaves(value, none_is_leaf=True)]


def nan(count):
    return math.nan


def folded():
    return np.lib.stride_tricks.as_strided(np.ones(1), (4,), (0,), writeable=True)


# Misuses of a step: how params, grads and state are other than they should be, or what is overridden.


def step(opt=OPT, params=None, grads=None, state=None, **overrides):
    """A step of the good arrays, but for these; what is a function makes it of (params, grads, state)."""
    good = tree()
    three = [good, tree(), opt.init(good if params is None or callable(params) else params)]
    for i, other in enumerate((params, grads, state)):
        if other is not None:
            three[i] = other(*three) if callable(other) else other
    return opt, three, overrides


def slot(path, value, name="m"):
    return lambda p, g, s: {**s, name: tree(path, value)}


def count(value):
    return lambda p, g, s: {**s, "step": value}


def tree_of_counts(bias):
    return {"layers": [{"w": 1, "bias": bias}], "head": 1}


def refreshed(grads):
    return {"opt": SVRG, "grads": grads, "state": lambda p, g, s: SVRG.refresh(tree(), tree(), s)}


def row_counts(value):
    return lambda p, g, s: {**s, "row_step": {"layers": [{"w": value, "bias": None}], "head": None}}


def tied():
    good = tree()
    return {**good, "tail": good["head"][1:]}


def rows(indices, values, opt=None, **others):
    opt = opt or ss.sgd(0.1)
    return step(opt, tree(), tree("w", ss.RowSparse(indices, values)), **others)


def locked(name):
    def made(p, g, s):
        three = {"p": p, "m": s["m"]}
        three[name]["head"].setflags(write=False)
        return s

    return made


class Model:
    def named_parameters(self):
        yield "w", np.ones(1)

    def __repr__(self):
        return "Model()"


GROUPS = ss.groups({"*.bias": {"lr": nan}}, default=OPT)
NAMED = ss.chain(ss.momentum(0.9, name="slow"), ss.scale_by_lion(), ss.descend(0.1))
NADAM = ss.nadam(0.1)
ONE = np.ones((1, 3))
STEPS = {
    "grads lack a leaf": (
        lambda: step(grads={"layers": tree()["layers"]}), TreeError,
            "grads lacks leaf 'head': grads must be a nesting like the params, leaf by leaf (2 leaves "
            "against 3). Give None for a leaf without a gradient, and nothing that the params lack.",
    ),
    "a step's two results as its params": (
        lambda: step(params=lambda p, g, s: (p, s)), TreeError,
            "grads lacks leaf '0.head': grads must be a nesting like the params, leaf by leaf (3 leaves against "
            "10). A step returns two things: write params, state = opt.step(params, grads, state).",
    ),
    "grads have one more": (
        lambda: step(grads={**tree(), "tail": np.ones(1)}), TreeError,
            "grads has leaf 'tail', which the params lack: grads must be a nesting like the params, leaf by "
            "leaf (4 leaves against 3). Give None for a leaf without a gradient, and nothing that the "
            "params lack.",
    ),
    "grads have a container": (
        lambda: step(grads=tree("head", [np.ones(4)])), TreeError,
            "grads has a container at leaf 'head', where the params have an array: grads must be a nesting "
            "like the params, leaf by leaf (3 leaves against 3). Give None for a leaf without a gradient, "
            "and nothing that the params lack.",
    ),
    "grads have another container": (
        lambda: step(grads={**tree(), "layers": tuple(tree()["layers"])}), TreeError,
            "grads must be the same nesting as the params, containers too: got PyTreeSpec({'head': *, "
            "'layers': ({'bias': *, 'w': *},)}, NoneIsLeaf), not PyTreeSpec({'head': *, 'layers': [{'bias': "
            "*, 'w': *}]}, NoneIsLeaf). Convert the containers.",
    ),
    "params and state swapped": (
        lambda: step(grads=lambda p, g, s: s, state=lambda p, g, s: p), TreeError,
            "grads lacks leaf 'head': grads must be a nesting like the params, leaf by leaf (7 leaves "
            "against 3). The order is step(params, grads, state).",
    ),
    "gradient of another shape": (
        lambda: step(grads=tree("bias", np.ones(4))), LeafError,
            "leaf 'layers.0.bias': the gradient must have the shape of its param, (3,); got (4,): reshape "
            "it, or sum over what was broadcast",
    ),
    "gradient of integers": (
        lambda: step(grads=tree("bias", np.ones(3, int))), LeafError,
            "leaf 'layers.0.bias': the gradient is int64; it must be one of float16, bfloat16, float32, "
            "float64, complex64, complex128: cast it",
    ),
    "complex gradient": (
        lambda: step(grads=tree("bias", np.ones(3, complex))), LeafError,
            "leaf 'layers.0.bias': the param is float64 and its gradient complex128: both complex or both "
            "real; take the real part, or make the param complex",
    ),
    "gradient of another library": (
        lambda: step(grads=tree("bias", array_api_strict.ones(3))), LeafError,
            "leaf 'layers.0.bias': the param is an array of numpy, its gradient of array_api_strict: both "
            "belong to one library; convert the gradient",
    ),
    "gradient is a number": (
        lambda: step(grads=tree("bias", 1.0)), LeafError,
            "leaf 'layers.0.bias' of the grads is float 1.0: grads are arrays, or None for a leaf that has none"
            "; numpy.asarray(...) makes one of numbers",
    ),
    "masked gradient": (
        lambda: step(grads=tree("bias", np.ma.masked_array(np.ones(3)))), LeafError,
            "leaf 'layers.0.bias' of the grads is a masked array, whose mask a step would drop: pass "
            "array.filled(0.0), or array.data",
    ),
    "integer param": (
        lambda: step(params=lambda p, g, s: tree("bias", np.ones(3, int))), LeafError,
            "leaf 'layers.0.bias' of the params is int64: params are float16, bfloat16, float32, float64, "
            "complex64, complex128. Convert it, or leave it out of the params (groups with freeze() need "
            "floating leaves too).",
    ),
    "param of another library": (
        lambda: step(params=lambda p, g, s: tree("bias", array_api_strict.ones(3))), LeafError,
            "leaf 'layers.0.bias' of the params is an array of array_api_strict, but the leaves before it "
            "are of numpy: all params of one step belong to one library; convert them first",
    ),
    "other params by shape": (
        lambda: step(params=lambda p, g, s: tree("head", np.ones(5)), grads=tree("head", np.ones(5))), StateError,
            "slot 'm' of leaf 'head' must have shape (5,); got (4,). The state is of other params: make one "
            "with init.",
    ),
    "other params by dtype": (
        lambda: step(params=lambda p, g, s: tree("head", np.ones(4, "f"))), StateError,
            "slot 'm' of leaf 'head' must be float32, the compute dtype of a float32 param; got float64. "
            "The state is of other params: make one with init.",
    ),
    "state of another optimizer": (
        lambda: step(ss.sgd(0.1, momentum=0.9), state=lambda p, g, s: OPT.init(p)), StateError,
            "the state is of another optimizer: it has 'v' too many. Make one with init, or step with the "
            "optimizer that made this one.",
    ),
    "state lacks a slot": (
        lambda: step(state=lambda p, g, s: ss.lion().init(p)), StateError,
            "the state is of another optimizer: it lacks 'v'. Make one with init, or step with the "
            "optimizer that made this one.",
    ),
    "no state": (
        lambda: step(state=lambda p, g, s: []), StateError,
            'the state is the dict that init or the last step returned; got list []',
    ),
    "slot of another shape": (
        lambda: step(state=slot("bias", np.ones(4))), StateError,
            "slot 'm' of leaf 'layers.0.bias' must have shape (3,); got (4,). The state is of other params: "
            "make one with init.",
    ),
    "slot of another dtype": (
        lambda: step(state=slot("bias", np.ones(3, "f"))), StateError,
            "slot 'm' of leaf 'layers.0.bias' must be float64, the compute dtype of a float64 param; got "
            "float32. The state is of other params: make one with init.",
    ),
    "slot of another library": (
        lambda: step(state=slot("bias", array_api_strict.ones(3))), StateError,
            "slot 'm' of leaf 'layers.0.bias' must be an array of numpy, as its param; got "
            "array_api_strict._array_object.Array. Convert the state, or make one with init.",
    ),
    "slot is None": (
        lambda: step(state=slot("bias", None)), StateError,
            "slot 'm' of leaf 'layers.0.bias' must be an array of numpy, as its param; got None. Convert "
            "the state, or make one with init.",
    ),
    "slot lacks a leaf": (
        lambda: step(state=lambda p, g, s: {**s, "m": {"head": p["head"]}}), TreeError,
            "slot 'm' of the state lacks leaf 'layers.0.bias': slot 'm' of the state must be a nesting like "
            "the params, leaf by leaf (1 leaves against 3). Make one of these params with init.",
    ),
    "slot of a frozen leaf": (
        lambda: step(ss.groups({"head": ss.freeze()}, default=OPT), state=slot("head", np.ones(4))), StateError,
            "slot 'm' of leaf 'head' must be None, since the leaf has none; got ndarray. The state is of "
            "other params: make one with init.",
    ),
    "count below 0": (
        lambda: step(state=count(-1)), StateError,
            "'step' of the state counts completed steps, so it is at least 0; got -1. Pass the state that "
            "the last step returned, or make one with init.",
    ),
    "count no int": (
        lambda: step(state=count(1.5)), StateError,
            "'step' of the state is an int, or a nesting of ints like the params; got 1.5. Pass the state "
            "that the last step returned, or make one with init.",
    ),
    "count of a leaf below 0": (
        lambda: step(state=count(tree_of_counts(-1))), StateError,
            "'step' of the state at leaf 'layers.0.bias' counts completed steps, so it is at least 0; got "
            "-1. Pass the state that the last step returned, or make one with init.",
    ),
    "count of a leaf no int": (
        lambda: step(state=count(tree_of_counts("a"))), StateError,
            "'step' of the state at leaf 'layers.0.bias' is an int; got 'a'. Pass the state that the last "
            "step returned, or make one with init.",
    ),
    "number slot": (
        lambda: step(NADAM, state=lambda p, g, s: {**s, "mu_product": "a"}), StateError,
            "slot 'mu_product' of the state is a number; got 'a'. Pass the state that the last step "
            "returned, or make one with init.",
    ),
    "number slot by group": (
        lambda: step(ss.groups({"head": ss.nadam(0.2)}, default=NADAM), state=lambda p, g, s: NADAM.init(p)),
        StateError,
            "slot 'mu_product' of the state is a dict by pattern with 'default', 'head'; got 1.0. Pass the "
            "state that the last step returned, or make one with init.",
    ),
    "unknown override": (
        lambda: step(beta=0.3), HyperparameterError,
            "this optimizer has no number 'beta', here 0.3; step takes 'beta1', 'beta2', 'eps', 'eps_root', "
            "'lr', 'weight_decay'",
    ),
    "unknown override in groups": (
        lambda: step(ss.groups({"*.bias": ss.sgd(0.1)}, default=OPT), beta=0.3), HyperparameterError,
            "this optimizer has no number 'beta', here 0.3; step takes 'beta1', 'beta2', 'eps', 'eps_root', "
            "'lr', 'weight_decay'",
    ),
    "option overridden": (
        lambda: step(amsgrad="post"), HyperparameterError,
            "amsgrad is an option, fixed when the optimizer is built; got 'post': build another one with "
            "amsgrad=...",
    ),
    "option of the constructor overridden": (
        lambda: step(maximize=True), HyperparameterError,
            "maximize is an option, fixed when the optimizer is built; got True: build another one with "
            "maximize=...",
    ),
    "option of a named part overridden": (
        lambda: step(NAMED, **{"slow.form": "ema"}), HyperparameterError,
            "slow.form is an option, fixed when the optimizer is built; got 'ema': build another one with "
            "slow.form=...",
    ),
    "what was built without, overridden": (
        lambda: step(ss.sgd(0.1), momentum=0.9), HyperparameterError,
            'this optimizer was built without momentum (it was 0.0); got 0.9: build another one with momentum=...',
    ),
    "number of a part left out, overridden": (
        lambda: step(ss.lars(0.1, always_adapt=False), trust_coefficient=0.1), HyperparameterError,
            "this optimizer was built without trust_coefficient (it was 0.001); got 0.1: build another one with "
            "trust_coefficient=...",
    ),
    "regulariser left out, overridden": (
        lambda: step(ss.mirror_descent(0.1), l1=0.1), HyperparameterError,
            'this optimizer was built without l1 (it was 0.0); got 0.1: build another one with l1=...',
    ),
    "override that only init reads": (
        lambda: step(ss.ftrl(0.1, initial_accumulator=0.1), initial_accumulator=0.2), HyperparameterError,
            "'initial_accumulator' cannot be overridden in a step: only init reads it, or nothing does "
            "under these options; got initial_accumulator=0.2. Build another optimizer with it.",
    ),
    "override is a schedule": (
        lambda: step(lr=abs), HyperparameterError,
            "lr is a number for this one step; got <built-in function abs>: call it, or build another "
            "optimizer with it",
    ),
    "override nan": (
        lambda: step(lr=math.nan), HyperparameterError,
            'lr must be a number, not nan; got nan: check what made it',
    ),
    "override is text": (
        lambda: step(lr="0.1"), HyperparameterError,
            "lr is a number (or a schedule: a callable of the step); got '0.1': write lr=0.001, or another "
            "such value",
    ),
    "override None": (
        lambda: step(lr=None), HyperparameterError,
            "lr is a number (or a schedule: a callable of the step); got None: write lr=0.001, or another "
            "such value",
    ),
    "override of several numbers": (
        lambda: step(lr=np.ones(2)), HyperparameterError,
            "lr is a number (or a schedule: a callable of the step); got array([1., 1.]): write lr=0.001, "
            "or another such value",
    ),
    "beta1 of 1": (
        lambda: step(beta1=1.0), HyperparameterError,
            'beta1 must be in [0, 1); got 1.0: write beta1=0.9, or another such value',
    ),
    "negative beta2": (
        lambda: step(beta2=-0.1), HyperparameterError,
            'beta2 must be in [0, 1); got -0.1: write beta2=0.999, or another such value',
    ),
    "nested override, unknown": (
        lambda: step(NAMED, **{"slow.mom": 1}), HyperparameterError,
            "this optimizer has no number 'slow.mom', here 1; step takes 'beta1', 'beta2', 'lr', "
            "'slow.dampening', 'slow.momentum'",
    ),
    "nested override, domain": (
        lambda: step(NAMED, **{"slow.momentum": 1.5}), HyperparameterError,
            "slow.momentum must be in [0, 1); got 1.5: write **{'slow.momentum': 0.9}, or another such value",
    ),
    "nested override, unqualified": (
        lambda: step(NAMED, momentum=0.5), HyperparameterError,
            "this optimizer has no number 'momentum', here 0.5; step takes 'beta1', 'beta2', 'lr', "
            "'slow.dampening', 'slow.momentum'",
    ),
    "schedule nan": (
        lambda: step(ss.adamw(nan)), HyperparameterError,
            'the schedule of lr at count 0 gave nan: lr must be a number, not nan. Let it return such a number.',
    ),
    "schedule of text": (
        lambda: step(ss.adamw(str)), HyperparameterError,
            "the schedule of lr at count 0 gave '0': lr is a number (or a schedule: a callable of the "
            "step). Let it return such a number.",
    ),
    "schedule outside the domain": (
        lambda: step(ss.adamw(beta1=lambda count: 1.0)), HyperparameterError,
            'the schedule of beta1 at count 0 gave 1.0: beta1 must be in [0, 1). Let it return such a number.',
    ),
    "schedule nan in a group": (
        lambda: step(GROUPS), HyperparameterError,
            "the schedule of lr in the group '*.bias' at count 0 gave nan: lr must be a number, not nan. "
            "Let it return such a number.",
    ),
    "schedule of a solver": (
        lambda: step(ss.ftrl_proximal(lambda count: 0.0)), HyperparameterError,
            'the schedule of lr at count 0 gave 0.0: lr must be above 0. Let it return such a number.',
    ),
    "loss missing": (
        lambda: step(ss.chain(ss.flooding(0.1), ss.sgd(0.1))), HyperparameterError,
            'this optimizer needs loss: write step(params, grads, state, loss=...)',
    ),
    "loss is text": (
        lambda: step(ss.chain(ss.flooding(0.1), ss.sgd(0.1)), loss="low"), HyperparameterError,
            "loss is a number; got 'low': write step(..., loss=1.0)",
    ),
    "one gradient of two": (
        lambda: step(SVRG, state=lambda p, g, s: SVRG.refresh(p, g, s)), TreeError,
            "this optimizer takes two gradients of the same batch, at the points of query(params, state): "
            "got a dict of 'layers', 'head'; write step(params, {'x': ..., 'snapshot': ...}, state)",
    ),
    "two gradients of one": (
        lambda: step(grads={"x": tree(), "snapshot": tree()}), TreeError,
            "this optimizer takes one gradient, at x; got grads={'x': ..., 'snapshot': ...}: pass that of "
            "'x' alone",
    ),
    "refresh is due": (
        lambda: step(SVRG, grads={"x": tree(), "snapshot": tree()}), StateError,
            "this step needs the full gradient at a snapshot first, which is new or has moved: in the "
            "state 'stale' is 1.0. Write state = opt.refresh(params, full_grad, state), with full_grad at "
            "opt.query(params, state)['snapshot'], whenever opt.needs_refresh(state)",
    ),
    "second gradient lacks a leaf": (
        lambda: step(**refreshed({"x": tree(), "snapshot": {"head": np.ones(4)}})), TreeError,
            "grads['snapshot'] lacks leaf 'layers.0.bias': grads['snapshot'] must be a nesting like the "
            "params, leaf by leaf (1 leaves against 3). Give None for a leaf without a gradient, and "
            "nothing that the params lack.",
    ),
    "second gradient of another shape": (
        lambda: step(**refreshed({"x": tree(), "snapshot": tree("bias", np.ones(4))})), LeafError,
            "in grads['snapshot']: leaf 'layers.0.bias': the gradient must have the shape of its param, (3,); got "
            "(4,): reshape it, or sum over what was broadcast",
    ),
    "array for each leaf of another shape": (
        lambda: step(ss.chain(ss.add_noise(0.1, seed=None), ss.sgd(0.1)), noise=tree("bias", np.ones(4))), LeafError,
            "in noise, which is as a gradient is: leaf 'layers.0.bias': the gradient must have the shape of its param, "
            "(3,); got (4,): reshape it, or sum over what was broadcast",
    ),
    "second gradient None": (
        lambda: step(**refreshed({"x": tree(), "snapshot": tree("bias", None)})), TreeError,
            "leaf 'layers.0.bias' is None in grads['snapshot'] alone: give both of a leaf that steps, or None for both",
    ),
    "a step without its noise": (
        lambda: step(NOISY), HyperparameterError,
            "this optimizer needs noise, an array for each leaf: write step(params, grads, state, noise=...)",
    ),
    "a leaf without its noise": (
        lambda: step(NOISY, noise=tree("bias", None)), TreeError,
            "leaf 'layers.0.bias' is None in noise alone: give both of a leaf that steps, or None for both",
    ),
    "one number for noise": (
        lambda: step(NOISY, noise=1.0), TreeError,
            "noise lacks leaf 'head': noise must be a nesting like the params, leaf by leaf (1 leaves against 3). Give "
            "None for a leaf without a gradient, and nothing that the params lack.",
    ),
    "rows beside noise": (
        lambda: step(NOISY, grads=tree("w", ss.RowSparse([0], ONE)), noise=tree()), LeafError,
            "leaf 'layers.0.w' of grads is row-sparse, with the rows [0]: an optimizer that takes another array for "
            "each leaf takes whole ones. Give an array, with zeros in the other rows.",
    ),
    "rows beside a snapshot": (
        lambda: step(**refreshed({"x": tree(), "snapshot": tree("w", ss.RowSparse([0], ONE))})), LeafError,
            "leaf 'layers.0.w' of grads['snapshot'] is row-sparse, with the rows [0]: an optimizer that takes another "
            "array for each leaf takes whole ones. Give an array, with zeros in the other rows.",
    ),
    "override as others call it": (
        lambda: step(learning_rate=0.1), HyperparameterError,
            "this optimizer has no number 'learning_rate', here 0.1; step takes 'beta1', 'beta2', 'eps', "
            "'eps_root', 'lr', 'weight_decay': write lr=0.1",
    ),
    "rows of a norm": (
        lambda: rows([0], ONE, ss.lamb(0.1)), LeafError,
            "leaf 'layers.0.w' cannot be stepped by rows: trust_ratio reduces over the leaf (sum_squares), "
            "and rows without a gradient are not looked at. Give a dense one, or take an optimizer that "
            "works element by element",
    ),
    "rows: indices of floats": (
        lambda: rows(np.array([0.5]), ONE), LeafError,
            "the row-sparse gradient of leaf 'layers.0.w': indices are integers along one axis; got float64 "
            "of shape (1,): cast them, or flatten them and the values with them",
    ),
    "rows: indices of two axes": (
        lambda: rows(np.array([[0]]), ONE), LeafError,
            "the row-sparse gradient of leaf 'layers.0.w': indices are integers along one axis; got int64 "
            "of shape (1, 1): cast them, or flatten them and the values with them",
    ),
    "rows: values of another shape": (
        lambda: rows([0], np.ones((2, 3))), LeafError,
            "the row-sparse gradient of leaf 'layers.0.w': values have the shape (len(indices), *shape of "
            "one row), here (1, 3); got (2, 3): reshape them, or give the indices that belong to them",
    ),
    "rows: an index too large": (
        lambda: rows([2], ONE), LeafError,
            "the row-sparse gradient of leaf 'layers.0.w': indices are at least 0 and below 2, the number "
            "of rows; got 2 at place 0: drop it, or count from the front",
    ),
    "rows: a negative index": (
        lambda: rows([-1], ONE), LeafError,
            "the row-sparse gradient of leaf 'layers.0.w': indices are at least 0 and below 2, the number "
            "of rows; got -1 at place 0: drop it, or count from the front",
    ),
    "rows: values of integers": (
        lambda: rows([0], np.ones((1, 3), int)), LeafError,
            "leaf 'layers.0.w': the gradient is int64; it must be one of float16, bfloat16, float32, "
            "float64, complex64, complex128: cast it",
    ),
    "rows: values of another library": (
        lambda: rows([0], array_api_strict.ones((1, 3))), LeafError,
            "leaf 'layers.0.w': the param is an array of numpy, its gradient of array_api_strict: both "
            "belong to one library; convert the gradient",
    ),
    "rows: counts of other params": (
        lambda: rows([0], ONE, state=row_counts(np.zeros(3, "i4"))), StateError,
            "slot 'row_step' of leaf 'layers.0.w' has one number for each row, an array of numpy of shape "
            "(2,); got ndarray of shape (3,). The state is of other params: make one with init.",
    ),
    "rows: counts of another dtype": (
        lambda: rows([0], ONE, state=row_counts(np.zeros(2, "i8"))), StateError,
            "slot 'row_step' of leaf 'layers.0.w' must be int32; got int64. Pass the state that the last "
            "step returned, or make one with init.",
    ),
    "rows: counts below 0": (
        lambda: rows([0], ONE, state=row_counts(-np.ones(2, "i4"))), StateError,
            "slot 'row_step' of leaf 'layers.0.w' counts completed steps, so it is at least 0; got -1. Pass "
            "the state that the last step returned, or make one with init.",
    ),
}  # fmt: skip
DONATED = {
    "read-only param": (
        lambda: step(state=locked("p")), DonationError,
            "param of leaf 'head' is read-only and cannot be donated: pass a writable copy, or donate=False",
    ),
    "read-only slot": (
        lambda: step(state=locked("m")), DonationError,
            "slot 'm' of leaf 'head' is read-only and cannot be donated: pass a writable copy, or donate=False",
    ),
    "gradient is the param": (
        lambda: step(grads=lambda p, g, s: {**g, "head": p["head"]}), DonationError,
            "param of leaf 'head' and gradient of leaf 'head' overlap in memory: a donated array must be "
            "the only one there. Copy one, or donate=False.",
    ),
    "two slots are one": (
        lambda: step(state=lambda p, g, s: {**s, "v": {**s["v"], "head": s["m"]["head"]}}), DonationError,
            "slot 'm' of leaf 'head' and slot 'v' of leaf 'head' overlap in memory: a donated array must be "
            "the only one there. Copy one, or donate=False.",
    ),
    "two params overlap": (
        lambda: step(params=lambda p, g, s: {**p, "head": p["layers"][0]["w"].reshape(-1)[:4]}), DonationError,
            "param of leaf 'head' and param of leaf 'layers.0.w' overlap in memory: a donated array must be "
            "the only one there. Copy one, or donate=False.",
    ),
    "param overlaps itself": (
        lambda: step(params=lambda p, g, s: {**p, "head": folded()}), DonationError,
            "param of leaf 'head' overlaps itself in memory (shape (4,), strides (0,)) and cannot be "
            "donated: pass a copy, or donate=False",
    ),
}  # fmt: skip

# Misuses elsewhere
OTHERS = {
    "lr is text": (
        lambda: ss.adamw("0.1"), HyperparameterError,
            "lr is a number (or a schedule: a callable of the step); got '0.1': write lr=0.001, or another "
            "such value",
    ),
    "lr is None": (
        lambda: ss.adamw(None), HyperparameterError,
            "lr is a number (or a schedule: a callable of the step); got None: write lr=0.001, or another "
            "such value",
    ),
    "lr nan": (
        lambda: ss.adamw(math.nan), HyperparameterError,
            'lr must be a number, not nan; got nan: check what made it',
    ),
    "lr negative": (
        lambda: ss.adamw(-1.0), HyperparameterError,
            'lr must be at least 0; got -1.0: write lr=0.001, or another such value',
    ),
    "beta1 negative": (
        lambda: ss.adamw(beta1=-0.1), HyperparameterError,
            'beta1 must be in [0, 1); got -0.1: write beta1=0.9, or another such value',
    ),
    "beta1 of 1, built": (
        lambda: ss.adamw(beta1=1.0), HyperparameterError,
            'beta1 must be in [0, 1); got 1.0: write beta1=0.9, or another such value',
    ),
    "unknown argument": (
        lambda: ss.lion(beta=0.9), HyperparameterError,
            "lion has no 'beta'; it has 'lr', 'weight_decay', 'beta1', 'beta2', 'maximize', 'cautious'",
    ),
    "option of another type": (
        lambda: ss.accumulate(2.5), HyperparameterError,
            "k is an option of type int, fixed when the optimizer is built; got 2.5: write k=1, or another "
            "such value",
    ),
    "option outside its domain": (
        lambda: ss.accumulate(0), HyperparameterError,
            'k must be at least 1; got 0: write k=1, or another such value',
    ),
    "option not listed": (
        lambda: ss.adamw(cautious=True), HyperparameterError,
            "cautious must be one of False, 'mean', 'count', 'none'; got True",
    ),
    "number of a page missing": (
        lambda: ss.clip_by_global_norm(), HyperparameterError,
            'clip_by_global_norm needs max_norm: write clip_by_global_norm(max_norm=...)',
    ),
    "lr given nowhere": (
        lambda: ss.chain(ss.scale_by_adam(), ss.descend()).init(tree()), HyperparameterError,
            "no part gives 'lr': write it where it is used, as in descend(lr=1e-3)",
    ),
    "two values in a chain": (
        lambda: ss.chain(ss.adamw(0.1), ss.descend(0.2)), ChainError,
            "two parts give 'lr' different values, 0.1 and 0.2: give the same, since lr is the chain's, "
            "or leave one out",
    ),
    "two other values in a chain": (
        lambda: ss.chain(ss.adamw(0.1), ss.decay(0.2)), ChainError,
            "two parts give 'weight_decay' different values, 0.01 and 0.2: give the same, or name one part "
            "(decoupled_decay(..., name='other') makes it 'other.weight_decay')",
    ),
    "two steps": (
        lambda: ss.chain(ss.ftrl(0.1), ss.sgd(0.1)).init({"w": np.ones(2)}), ss.TraceError,
            "leaf 'w': in page descend: it takes a step with the gradient that ftrl_step has taken one with: a chain "
            "has one step, so leave out one of them",
    ),
    "a proximal decay before its step": (
        lambda: ss.chain(ss.decay(0.1, mode="proximal"), ss.sgd(0.1)), ChainError,
            "proximal_decay looks at the params that descend, which stands behind it, has yet to make: write "
            "chain(..., proximal_decay(...))",
    ),
    "groups that do not stand last": (
        lambda: ss.chain(ss.muon(select=("e",)), ss.ema(0.9)), ChainError,
            "groups must stand last in a chain, and cannot be followed by other parts: each group is a chain of its "
            "own, with its own order of parts. Write a part in each group, or a gradient part in front; patterns "
            "beside each other, the first that matches wins",
    ),
    "page not called": (
        lambda: ss.chain(ss.scale_by_adam, ss.descend(0.1)), ChainError,
            "a chain joins parts and optimizers; got <direction page scale_by_adam>: call it, scale_by_adam(...)",
    ),
    "number in a chain": (
        lambda: ss.chain(ss.scale_by_adam(), 0.1), ChainError,
            "a chain joins parts and optimizers; got 0.1: write a part, such as descend(lr=0.1)",
    ),
    "direction before a solver": (
        lambda: ss.chain(ss.ftrl(0.1), ss.scale_by_lion()), ChainError,
            "ftrl_step takes no direction part such as scale_by_lion: z sums the gradients and p is solved "
            "from z, so a direction before it would be summed in their place. Leave it out.",
    ),
    "group changes an unknown number": (
        lambda: ss.groups({"*.bias": {"beta": 1}}, default=OPT), HyperparameterError,
            "the group '*.bias' changes 'beta', and the default of the groups has no such number; it has "
            "'beta1', 'beta2', 'eps', 'eps_root', 'lr', 'weight_decay'",
    ),
    "group changes an option": (
        lambda: ss.groups({"*.bias": {"amsgrad": "post"}}, default=OPT), HyperparameterError,
            "the group '*.bias' changes amsgrad, an option, which a dict of numbers cannot: write an "
            "optimizer there that is built with amsgrad=...",
    ),
    "group outside the domain": (
        lambda: ss.groups({"*.bias": {"beta1": 1.0}}, default=OPT), HyperparameterError,
            "the group '*.bias': beta1 must be in [0, 1); got 1.0: write beta1=0.9, or another such value",
    ),
    "group is a number": (
        lambda: ss.groups({"*.bias": 0.1}, default=OPT), ChainError,
            "the group '*.bias' is an optimizer, a dict of numbers or freeze(); got 0.1",
    ),
    "group matches nothing": (
        lambda: ss.groups({"*.weight": ss.freeze()}, default=OPT).init(tree()), ChainError,
            "pattern '*.weight' matches no leaf; the paths are 'head', 'layers.0.bias', 'layers.0.w'. "
            "Patterns are matched against the whole path, `*` crosses dots.",
    ),
    "group decides nothing": (
        lambda: ss.groups({"*": ss.adam(), "*.bias": ss.freeze()}, default=OPT).init(tree()), ChainError,
            "pattern '*.bias' decides no leaf: a pattern before it matches all of its leaves, and the first "
            "match wins. Write it earlier, or leave it out.",
    ),
    "schedule nan, asked for": (
        lambda: GROUPS.hyperparameters(3), HyperparameterError,
            "the schedule of lr in the group '*.bias' at count 3 gave nan: lr must be a number, not nan. "
            "Let it return such a number.",
    ),
    "count of hyperparameters": (
        lambda: OPT.hyperparameters(-1), HyperparameterError,
            'step counts completed steps: an int, at least 0; got -1',
    ),
    "tied weights": (
        lambda: OPT.init(tied()), LeafError,
            "leaf 'head' and leaf 'tail' share memory: tied weights would be stepped twice. Keep one of "
            "them in the params and tie them again after the step, or copy one.",
    ),
    "params are None": (
        lambda: OPT.init(tree("bias", None)), LeafError,
            "leaf 'layers.0.bias' of the params is None: give an array, or leave it out of the params",
    ),
    "params hold a number": (
        lambda: OPT.init(tree("bias", 1.0)), LeafError,
            "leaf 'layers.0.bias' of the params is float 1.0: params are arrays, or nestings of arrays; "
            "numpy.asarray(...) makes one",
    ),
    "params are a model": (
        lambda: OPT.init(Model()), LeafError,
            "the leaf (path '') of the params is Model Model(): params are arrays, or nestings of arrays; "
            "of a model give dict(model.named_parameters())",
    ),
    "params are a view": (
        lambda: OPT.init({"w": 1.0}.values()), LeafError,
            "the leaf (path '') of the params is dict_values dict_values([1.0]): params are arrays, or "
            "nestings of arrays; list(...) makes one of what comes out of it, dict(...) of pairs of a name "
            "and an array",
    ),
    "donate is no bool": (
        lambda: OPT.step(tree(), tree(), OPT.init(tree()), donate=1), DonationError,
            'donate is True or False; got 1',
    ),
    "nothing to refresh": (
        lambda: OPT.refresh(tree(), tree(), OPT.init(tree())), ChainError,
            "no snapshot of this optimizer goes stale, so it needs no full gradient: call step alone; "
            "got adamw(lr=0.001)",
    ),
    "refresh by rows": (
        lambda: SVRG.refresh(tree(), tree("w", ss.RowSparse([0], ONE)), SVRG.init(tree())), LeafError,
            "leaf 'layers.0.w' of full_grad is row-sparse, with the rows [0]: an optimizer that takes another array "
            "for each leaf takes whole ones. Give an array, with zeros in the other rows.",
    ),
    "refresh without a gradient": (
        lambda: SVRG.refresh(tree(), tree("bias", None), SVRG.init(tree())), LeafError,
            "full_grad of leaf 'layers.0.bias' is None: give zeros where no data has one",
    ),
    "refresh of another shape": (
        lambda: SVRG.refresh(tree(), tree("bias", np.ones(4)), SVRG.init(tree())), LeafError,
            "leaf 'layers.0.bias': the gradient must have the shape of its param, (3,); got (4,): reshape "
            "it, or sum over what was broadcast",
    ),
    "needs_refresh of another state": (
        lambda: SVRG.needs_refresh(OPT.init(tree())), StateError,
            "the state is of another optimizer: it lacks 'stale', and has 'step', 'm', 'v'. Make one with "
            "init, or ask the optimizer that made this one.",
    ),
    "needs_refresh of no state": (
        lambda: SVRG.needs_refresh(None), StateError,
            "the state is the dict that init or the last step returned; got NoneType None",
    ),
    "query of another state": (
        lambda: SVRG.query(tree(), OPT.init(tree())), StateError,
            "the state is of another optimizer: it lacks 'g_full', 'snapshot', 'stale' and has 'm', 'v' too "
            "many. Make one with init, or step with the optimizer that made this one.",
    ),
    "eval_params of another state": (
        lambda: ss.chain(OPT, ss.ema()).eval_params(tree(), OPT.init(tree())), StateError,
            "the state is of another optimizer: it lacks 'average', 'averaged'. Make one with init, or step "
            "with the optimizer that made this one.",
    ),
    "restart of what is not there": (
        lambda: OPT.restart(tree(), OPT.init(tree()), reset=("x",)), StateError,
            "reset names slots of the state, 'm', 'v'; got 'x'",
    ),
    "unknown dialect": (
        lambda: ss.adam(dialect="paddle"), HyperparameterError,
            "dialect must be one of 'torch', 'optax', 'keras', 'tf1'; got 'paddle'",
    ),
    "dialect where there is none": (
        lambda: ss.lion(dialect="torch"), HyperparameterError,
            "lion has no 'dialect'; it has 'lr', 'weight_decay', 'beta1', 'beta2', 'maximize', 'cautious'",
    ),
    "dialect that means another thing": (
        lambda: ss.lamb(0.1, dialect="keras", weight_decay=0.1), HyperparameterError,
            "lamb(dialect='keras') takes no weight_decay: Keras takes the norm of the parameter after its "
            "decay, we before: chain another part for it",
    ),
    "two regularisers": (
        lambda: ss.mirror_descent(0.1, half=0.1, group_l2=0.1), HyperparameterError,
            "half and group_l2 together have no closed form: give one of them; got mirror_descent(lr=0.1, "
            "half=0.1, group_l2=0.1)",
    ),
    "l1 adaptive in groups": (
        lambda: ss.ftrl_proximal(0.1, group_l2=0.1, l1_schedule="adaptive"), HyperparameterError,
            "group_l2 has one weight in each group, and this l1_schedule one for each coordinate: take "
            "another, or group_half, whose groups share one h; got ftrl_proximal(lr=0.1, group_l2=0.1, "
            "l1_schedule='adaptive')",
    ),
    "l1 adaptive, greedy": (
        lambda: ss.mirror_descent(0.1, l1=0.1, l1_schedule="adaptive"), HyperparameterError,
            "l1_schedule='adaptive' is absent here: a greedy step has the whole of l1, that is "
            "'incremental'; of what others add from step to step it keeps nothing ('fixed': nothing after "
            "the first): write ftrl_proximal(..., l1_schedule='adaptive'), or leave it out; got "
            "mirror_descent(lr=0.1, l1=0.1, l1_schedule='adaptive')",
    ),
    "lazy curvature, greedy": (
        lambda: ss.mirror_descent(0.1, l2=0.1, l2_schedule="sum_inv_lr"), HyperparameterError,
            "l2_schedule must be one of 'classical', 'decoupled', 'fixed'; got 'sum_inv_lr'",
    ),
    "bias correction of nothing": (
        lambda: ss.mirror_descent(0.1, bias_correction=True), HyperparameterError,
            "bias_correction is of the mean of gradients: give momentum=... too; got mirror_descent(lr=0.1, "
            "bias_correction=True)",
    ),
    "unknown rule": (
        lambda: ss.mirror_descent(0.1, rule="sgd"), HyperparameterError,
            "rule must be one of 'constant', 'adagrad', 'rmsprop', 'online_rmsprop', 'adam', 'amsgrad', "
            "'radam', or a Part; got 'sgd'",
    ),
    "rule with an lr of its own": (
        lambda: ss.mirror_descent(0.1, rule=ss.rules.adam(0.2)), HyperparameterError,
            "rule=adam(lr=0.2, beta2=0.999, eps=1e-08): lr is the optimizer's, here 0.1: leave it out in the "
            "rule; got mirror_descent(lr=0.1, rule=adam(lr=0.2, beta2=0.999, eps=1e-08))",
    ),
    "rule without an lr": (
        lambda: ss.mirror_descent(0.1, rule=ss.scale_by_lion()), HyperparameterError,
            "rule=scale_by_lion(beta1=0.9, beta2=0.99): a rule has a number lr, of which its h is made: take "
            "one of samestep.rules; got mirror_descent(lr=0.1, rule=scale_by_lion(beta1=0.9, beta2=0.99))",
    ),
    "options that exclude each other": (
        lambda: ss.sgd(0.1, nesterov=True), HyperparameterError,
            "nesterov and dampening need momentum above 0: write sgd(momentum=0.9, ...); got sgd(lr=0.1, "
            "nesterov=True)",
    ),
    "numbers as others call them": (
        lambda: ss.lion(learning_rate=0.1, betas=(0.9, 0.95)), HyperparameterError,
            "lion has no 'betas', 'learning_rate'; it has 'lr', 'weight_decay', 'beta1', 'beta2', "
            "'maximize', 'cautious': write beta1=0.9, beta2=0.95, lr=0.1",
    ),
    "number of a page as others call it": (
        lambda: ss.scale_by_lion(b1=0.9), HyperparameterError,
            "scale_by_lion has no 'b1'; it has 'beta1', 'beta2': write beta1=0.9",
    ),
    "numbers of a page as Keras calls them": (
        lambda: ss.scale_by_lion(beta_1=0.9, beta_2=0.99), HyperparameterError,
            "scale_by_lion has no 'beta_1', 'beta_2'; it has 'beta1', 'beta2': write beta1=0.9, beta2=0.99",
    ),
    "number of a group as others call it": (
        lambda: ss.groups({"*.bias": {"learning_rate": 1}}, default=ss.lion()), HyperparameterError,
            "the group '*.bias' changes 'learning_rate', and the default of the groups has no such number; "
            "it has 'beta1', 'beta2', 'lr': write lr=1",
    ),
    "by position": (
        lambda: ss.lion(1e-3, 0.9), HyperparameterError,
            "lion takes 'lr' by position; got 2 values: write the others by name, lion(weight_decay=...)",
    ),
    "given twice": (
        lambda: ss.lion(1e-3, lr=0.1), HyperparameterError,
            "lion got lr by position and by name, 0.001 and 0.1: give it once",
    ),
    "number missing": (
        lambda: ss.natasha(0.1), HyperparameterError,
            "natasha needs sigma, every: write natasha(sigma=..., every=...)",
    ),
    "number of a schedule missing": (
        lambda: ss.schedules.cosine(0.1), HyperparameterError,
            "cosine needs steps: write cosine(steps=...)",
    ),
    "lr of 0": (
        lambda: ss.ftrl_proximal(0.0), HyperparameterError,
            'lr must be above 0; got 0.0: write lr=0.01, or another such value',
    ),
}  # fmt: skip


def refused(error, message, call):
    with pytest.raises(error) as info:
        call()
    assert type(info.value) is error and str(info.value) == message


@pytest.mark.parametrize("backend", ["numpy", "numba"])
@pytest.mark.parametrize("case", STEPS | DONATED)
def test_a_step(case, backend):
    """Whether donated or not, and whether it is the first or a plan is known: the same bits of everything after it."""
    make, error, message = (STEPS | DONATED)[case]
    with ss.use_backend(backend):
        for donate in (True,) if case in DONATED else (False, True):
            opt, given, overrides = make()
            before = bits(given)
            for _ in range(2):
                refused(error, message, lambda: opt.step(*given, donate=donate, **overrides))  # noqa: B023
            assert bits(given) == before


@pytest.mark.parametrize("case", OTHERS)
def test_without_a_step(case):
    make, error, message = OTHERS[case]
    refused(error, message, make)
