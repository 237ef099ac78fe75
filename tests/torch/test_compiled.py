"""The backend torch-compile, on the CPU: bits, compilations, and when it is chosen. Programs take seconds each."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

import samestep as ss
from samestep_conformance import checks
from samestep_torch import ON_GPUS, torch_compile

SMALL = {"matrix": (5, 4), "bias": (17,), "scalar": (), "empty": (0, 3)}


def adam(lr=0.1, **numbers):
    return ss.chain(ss.adam(lr, **numbers), ss.cautious())


def test_same_bits_as_numpy_and_no_compilation_twice():
    """Products are not contracted, roots and quotients rounded, subnormals kept, infinities and NaN as they are."""
    before = torch_compile.compilations()
    backends = [("torch-compile", donate) for donate in (False, True)]
    checks.same_bits(adam(), *backends, arrays="torch", steps=14, bad_from=7, shapes=SMALL)
    made = torch_compile.compilations()
    assert made == before + 3  # the reducing stage, and the last one fresh and in place
    other = adam(lambda step: 0.3 / (1 + step), beta1=0.8)
    checks.same_bits(other, *backends, arrays="torch", steps=3, shapes=SMALL)
    assert torch_compile.compilations() == made


def test_sums_and_axes():
    """Of float32 they are in float64, whose order is torch's."""
    opt = ss.chain(ss.clip_by_global_norm(0.5), ss.adafactor())
    checks.agrees(opt, "torch-compile", steps=5, shapes={"matrix": (5, 4), "bias": (300,)})


def test_tensors_of_every_kind():
    opt = ss.sgd(0.5, momentum=0.9)
    base = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    kinds = {
        "parameter": torch.nn.Parameter,
        "channels last": lambda x: x.contiguous(memory_format=torch.channels_last),
        "negated": lambda x: torch._neg_view(-x),
        "bfloat16": lambda x: x.bfloat16(),
    }
    for donate in (False, True):
        p = {name: kind(base.clone()) for name, kind in kinds.items()}
        g = {name: torch.ones_like(x, memory_format=torch.contiguous_format).detach() for name, x in p.items()}
        state = opt.init(p)
        wanted, after = opt.step({k: x.detach().clone() for k, x in p.items()}, g, opt.init(p))
        versions = [x._version for x in p.values()]
        with ss.use_backend("torch-compile"):
            new, state = opt.step(p, g, state, donate=donate)
        assert all(torch.equal(new[k], wanted[k]) and torch.equal(state["m"][k], after["m"][k]) for k in p)
        assert [new[k] is p[k] for k in p] == [donate] * 4 and new["parameter"].requires_grad
        assert new["channels last"].stride() == p["channels last"].stride()
        assert all((x._version > v) == donate for x, v in zip(p.values(), versions, strict=True))


def test_results_share_no_memory():
    """A state that a step leaves as it is, and a slot that is the same array as another's result, are copied."""
    opt = ss.chain(ss.accumulate(k=2), ss.sgd(0.5, momentum=0.9), ss.lookahead(k=1))
    p, g = torch.ones(3), torch.ones(3)
    state = opt.init(p)
    with ss.use_backend("torch-compile"):
        new, after = opt.step(p, g, state)
    arrays = [p, new, *(x for s in (state, after) for x in s.values() if isinstance(x, torch.Tensor))]
    assert len({x.data_ptr() for x in arrays}) == len(arrays)


def test_the_choice():
    """On a GPU by itself, on a CPU only if asked; eval pages run op by op."""
    tensor = torch.ones(3, 4)
    shown = ss.explain(ss.adafactor(), tensor)
    assert shown.backend("") == "torch" and "not torch-compile: it takes long to compile" in str(shown)
    with ss.use_backend("torch-compile"):
        assert ss.explain(ss.adafactor(), tensor).backend("") == "torch-compile"
    on_gpu = SimpleNamespace(device=torch.device("cuda"))
    assert torch_compile.on(on_gpu) is ON_GPUS and ON_GPUS.refuses(None, None) is None
    assert torch_compile.on(tensor).refuses(None, None) is not None
    assert not torch_compile.accepts(np.ones(3)) and not torch_compile.accepts(tensor.as_subclass(Own))


class Own(torch.Tensor):
    """A user's subclass, which may mean anything by its operations."""


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch finds none")
def test_same_bits_on_a_gpu():
    opt, p = adam(), checks.moved(checks.params("float32", SMALL), "torch")
    state, on_gpu = opt.init(p), {k: x.cuda() for k, x in p.items()}
    states = opt.init(on_gpu)
    for t in range(1, 6):
        g = checks.moved(checks.gradients("float32", SMALL)(t), "torch")
        p, state = opt.step(p, g, state)
        on_gpu, states = opt.step(on_gpu, {k: x.cuda() for k, x in g.items()}, states)
        assert all(torch.equal(on_gpu[k].cpu(), p[k]) for k in p)
