"""DTensors and FSDP2 over two processes: the results of one process, and state that lies as the params do."""

import os
import socket
import subprocess
import sys
import warnings

import torch

STEPS = 4


def shapes():
    """Even and uneven shards, one that only one process has, replicated ones, and a number."""
    from torch.distributed.tensor import Replicate, Shard

    return {
        "even": ((4, 3), Shard(0)), "columns": ((2, 5), Shard(1)), "uneven": ((7, 2), Shard(0)),
        "one": ((1, 2), Shard(0)), "replicated": ((4,), Replicate()), "number": ((), Replicate()),
    }  # fmt: skip


def optimizers(ss):
    from samestep_conformance.programs import OWN

    clipped = ss.chain(ss.clip_by_global_norm(0.5), ss.adamw(0.1, weight_decay=0.1), ss.cautious())
    found = {
        "clipped": clipped, "lamb": ss.lamb(0.1), "muon": ss.muon(0.1), "adafactor": ss.adafactor(), "dog": ss.dog(),
        "skipping": ss.chain(ss.skip_nonfinite(), ss.nadam(0.1)), "lookahead": ss.chain(ss.sgd(0.1), ss.lookahead(k=2)),
        "bias": ss.groups({"number": ss.freeze(), "*e*": {"lr": 0.5}}, default=ss.adam(0.1)),
    }  # fmt: skip
    return found | {"random": OWN["every random operation"](ss)}


def spread(tree, mesh):
    from torch.distributed.tensor import Replicate, distribute_tensor

    first = [Replicate()] * (mesh.ndim - 1)  # of two dimensions the first one repeats
    return {k: distribute_tensor(x, mesh, [*first, shapes()[k][1]]) for k, x in tree.items()}


def same(ours, theirs, what):
    for k, x in theirs.items():
        if x is None or not isinstance(x, torch.Tensor):
            assert ours[k] == x, what
            continue
        whole = ours[k].full_tensor() if hasattr(ours[k], "full_tensor") else ours[k]
        torch.testing.assert_close(whole.detach(), x, rtol=2e-7, atol=2e-7, msg=lambda m: f"{what}, {k}: {m}")  # noqa: B023


def as_one_process(mesh):
    import samestep as ss

    generator = torch.Generator().manual_seed(0)
    start = {k: torch.randn(shape, generator=generator) for k, (shape, _) in shapes().items()}
    for name, opt in optimizers(ss).items():
        plain, state = dict(start), opt.init(start)
        ours = {k: torch.nn.Parameter(x) for k, x in spread(start, mesh).items()}
        states = opt.init(ours)
        for t in range(STEPS):
            grads = {k: torch.cos(x * (t + 1)) for k, x in plain.items()}
            if name == "skipping" and t == 1:
                grads["uneven"][6, 1] = torch.nan  # which one process sees
            plain, state = opt.step(plain, grads, state)
            new, states = opt.step(ours, spread(grads, mesh), states, donate=bool(t % 2))
            assert all((new[k] is ours[k]) == bool(t % 2) or (name, k) == ("bias", "number") for k in ours)
            ours = new
            same(ours, plain, f"{name} in step {t}")
        for slot, tree in state.items():
            same(states[slot], tree, f"{name}: {slot}") if isinstance(tree, dict) else None
        same(opt.eval_params(ours, states), opt.eval_params(plain, state), f"{name}: eval_params")
        placed = spread(start, mesh)
        assert all(x.requires_grad and x.placements == placed[k].placements for k, x in ours.items())
        for x in (states["m"][k] for k in ("even", "uneven") if "m" in states):
            assert x.to_local().shape[0] < x.shape[0]  # a shard, and not all of it


def refusals(mesh):
    from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor

    import samestep as ss
    from samestep.errors import LeafError

    opt, p = ss.adam(0.1), distribute_tensor(torch.ones(5), mesh, [Shard(0)])
    state = opt.init(p)
    wanted = opt.step(p, distribute_tensor(torch.ones(5), mesh, [Shard(0)]), state)[0].to_local()
    summed = DTensor.from_local(torch.full((5,), 0.5), mesh, [Partial()])
    assert torch.equal(opt.step(p, summed, state)[0].to_local(), wanted)
    for params, grad in ((p, torch.ones(5)), (DTensor.from_local(torch.ones(5), mesh, [Partial()]), p)):
        try:
            opt.step(params, grad, state)
        except LeafError as error:
            assert "distribute" in str(error)
        else:
            raise AssertionError("no error")


def fsdp(mesh):
    from torch.distributed.fsdp import fully_shard

    import samestep as ss

    def model():
        torch.manual_seed(1)
        return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))

    opt = ss.chain(ss.clip_by_global_norm(0.1), ss.adamw(0.05), ss.cautious())
    alone, sharded = model(), model()
    for layer in (sharded[0], sharded[2], sharded):
        fully_shard(layer, mesh=mesh)
    x = torch.linspace(-1, 1, 24).reshape(8, 3)
    params = [dict(m.named_parameters()) for m in (alone, sharded)]
    states = [opt.init(p) for p in params]
    for _ in range(STEPS):
        for m, p, k in zip((alone, sharded), params, (0, 1), strict=True):
            ((m(x) - x.sum(1, keepdim=True)) ** 2).mean().backward()
            new, states[k] = opt.step(p, {n: w.grad for n, w in p.items()}, states[k], donate=True)
            assert all(new[n] is w for n, w in p.items())
            m.zero_grad()
    for name, p in params[0].items():
        torch.testing.assert_close(params[1][name].full_tensor(), p.detach(), rtol=1e-5, atol=1e-6)
        for x in (states[1][slot][name] for slot in "mv"):
            sharded = params[1][name]
            assert (x.device_mesh, x.placements) == (sharded.device_mesh, sharded.placements)
            assert x.placements[0].is_shard() and x.to_local().shape == sharded.to_local().shape


def process(rank, port):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    from torch.distributed.device_mesh import init_device_mesh

    mesh = init_device_mesh("cpu", (2,))
    as_one_process(mesh)
    as_one_process(init_device_mesh("cpu", (1, 2)))
    refusals(mesh)
    fsdp(mesh)
    torch.distributed.destroy_process_group()


def test_two_processes():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, __file__, str(port)]
    ranks = [subprocess.Popen([*command, str(rank)], stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        for rank in ranks:
            _, said = rank.communicate(timeout=300)
            assert rank.returncode == 0, said
    finally:
        for rank in ranks:
            rank.kill()


if __name__ == "__main__":  # one of the processes
    process(rank=int(sys.argv[2]), port=int(sys.argv[1]))
