"""The contestants: each library's own best usual way to make one step, behind the same three methods.

A peer owns its parameters and state. What a training loop does anyway (assigning `.grad`, moving gradients to the
library) is in `load` and is not timed; `step` is, and has finished its work when it returns.
"""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from .rules import Rule
from .workloads import Arrays

TORCH_THREADS = 2
TOLERANCE = 1e-5


class Unavailable(Exception):
    """This peer cannot take part; the message says why."""


class Disagreement(Exception):
    """A peer does other maths than the textbook, so its time would mean nothing."""


class Peer(Protocol):
    def load(self, grads: Arrays) -> None: ...

    def step(self) -> None: ...

    def params(self) -> Iterable[Any]: ...


class Eager:
    """The textbook, as plain NumPy expressions per array."""

    def __init__(self, rule: Rule, params: Arrays) -> None:
        self.rule = rule
        self.t = 0
        self.p = [p.copy() for p in params]
        self.slots = [[np.zeros_like(p) for _ in range(rule.slots)] for p in params]
        updates: dict[str, Callable[..., tuple[Any, ...]]] = {"adamw": self.adamw, "lion": self.lion}
        self.update = updates[rule.name]

    def load(self, grads: Arrays) -> None:
        self.grads = grads

    def step(self) -> None:
        self.t += 1
        for i, g in enumerate(self.grads):
            self.p[i], *self.slots[i] = self.update(self.p[i], g, *self.slots[i])

    def params(self) -> Arrays:
        return self.p

    def adamw(self, p: Any, g: Any, m: Any, v: Any) -> tuple[Any, ...]:
        r = self.rule
        m = r.beta1 * m + (1 - r.beta1) * g
        v = r.beta2 * v + (1 - r.beta2) * g * g
        m_hat = m / (1 - r.beta1**self.t)
        v_hat = v / (1 - r.beta2**self.t)
        return (1 - r.lr * r.weight_decay) * p - r.lr * m_hat / (np.sqrt(v_hat) + r.eps), m, v

    def lion(self, p: Any, g: Any, m: Any) -> tuple[Any, ...]:
        r = self.rule
        u = np.sign(r.beta1 * m + (1 - r.beta1) * g)
        return (1 - r.lr * r.weight_decay) * p - r.lr * u, r.beta2 * m + (1 - r.beta2) * g


class Samestep:
    """The public interface on lists of NumPy arrays; a pure step leaves its arguments as they were."""

    donate: bool

    def __init__(self, rule: Rule, params: Arrays) -> None:
        import samestep as ss

        if rule.name == "adamw":
            self.opt: Any = ss.adamw(
                rule.lr, beta1=rule.beta1, beta2=rule.beta2, eps=rule.eps, weight_decay=rule.weight_decay
            )
        else:
            self.opt = ss.lion(rule.lr, beta1=rule.beta1, beta2=rule.beta2, weight_decay=rule.weight_decay)
        self.p: Any = [p.copy() for p in params]
        self.state: Any = self.opt.init(self.p)

    def load(self, grads: Arrays) -> None:
        self.grads = grads

    def step(self) -> None:
        self.p, self.state = self.opt.step(self.p, self.grads, self.state, donate=self.donate)

    def params(self) -> Arrays:
        return self.p


class SamestepDonated(Samestep):
    donate = True


class SamestepPure(Samestep):
    donate = False


class Torch:
    """What the torch peers share: tensors that torch allocated, gradients in `.grad`."""

    def __init__(self, rule: Rule, params: Arrays) -> None:
        import torch

        torch.set_num_threads(TORCH_THREADS)
        self.torch = torch
        self.rule = rule
        self.p = [torch.tensor(p, requires_grad=True) for p in params]
        self.prepare()

    def prepare(self) -> None:
        raise NotImplementedError

    def load(self, grads: Arrays) -> None:
        for p, g in zip(self.p, grads, strict=True):
            p.grad = self.torch.tensor(g)

    def step(self) -> None:
        raise NotImplementedError

    def params(self) -> Iterable[Any]:
        return (p.detach().numpy() for p in self.p)


class TorchAdamW(Torch):
    """torch.optim.AdamW, one of its implementations."""

    implementation: str

    def prepare(self) -> None:
        r = self.rule
        self.opt = self.torch.optim.AdamW(
            self.p,
            lr=r.lr,
            betas=(r.beta1, r.beta2),
            eps=r.eps,
            weight_decay=r.weight_decay,
            **{self.implementation: True},
        )

    def step(self) -> None:
        self.opt.step()


class TorchFused(TorchAdamW):
    implementation = "fused"

    def __init__(self, rule: Rule, params: Arrays) -> None:
        if rule.name != "adamw":
            raise Unavailable(f"torch has no fused {rule.name}")
        super().__init__(rule, params)


class TorchForeachAdamW(TorchAdamW):
    implementation = "foreach"


class TorchForeachLion(Torch):
    """torch has no Lion: the textbook in torch's multi-tensor operations, as torch.optim writes its own."""

    def prepare(self) -> None:
        self.m = [self.torch.zeros_like(p) for p in self.p]

    def step(self) -> None:
        r, torch = self.rule, self.torch
        with torch.no_grad():
            grads = [p.grad for p in self.p]
            u = torch._foreach_lerp(self.m, grads, 1 - r.beta1)
            torch._foreach_sign_(u)
            torch._foreach_mul_(self.p, 1 - r.lr * r.weight_decay)
            torch._foreach_add_(self.p, u, alpha=-r.lr)
            torch._foreach_lerp_(self.m, grads, 1 - r.beta2)


def torch_foreach(rule: Rule, params: Arrays) -> Peer:
    return TorchForeachAdamW(rule, params) if rule.name == "adamw" else TorchForeachLion(rule, params)


class OptaxJit:
    """optax under one jit on the CPU, parameters and state donated."""

    def __init__(self, rule: Rule, params: Arrays) -> None:
        import jax
        import optax

        if rule.name == "adamw":
            opt = optax.adamw(rule.lr, rule.beta1, rule.beta2, rule.eps, weight_decay=rule.weight_decay)
        else:
            opt = optax.lion(rule.lr, rule.beta1, rule.beta2, weight_decay=rule.weight_decay)

        def update(params: Any, grads: Any, state: Any) -> Any:
            updates, state = opt.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        self.jax = jax
        self.cpu = jax.devices("cpu")[0]
        self.update = jax.jit(update, donate_argnums=(0, 2))
        self.p = self.on_device(params)
        self.state = jax.jit(opt.init)(self.p)

    def on_device(self, arrays: Arrays) -> Any:
        """Copies: a buffer that is also NumPy's cannot be donated."""
        with self.jax.default_device(self.cpu):
            return [self.jax.numpy.array(x, copy=True) for x in arrays]

    def load(self, grads: Arrays) -> None:
        self.grads = self.on_device(grads)

    def step(self) -> None:
        self.p, self.state = self.jax.block_until_ready(self.update(self.p, self.grads, self.state))

    def params(self) -> Iterable[Any]:
        return (np.asarray(p) for p in self.p)


PEERS: dict[str, Callable[[Rule, Arrays], Peer]] = {
    "samestep donated": SamestepDonated,
    "samestep pure": SamestepPure,
    "torch fused": TorchFused,
    "torch foreach": torch_foreach,
    "optax jit": OptaxJit,
    "numpy eager": Eager,
}


def assemble(rule: Rule, params: Arrays) -> tuple[dict[str, Peer], dict[str, str]]:
    """The peers that can take part, and for each of the others the reason."""
    peers: dict[str, Peer] = {}
    left_out: dict[str, str] = {}
    for name, make in PEERS.items():
        try:
            peers[name] = make(rule, params)
        except Unavailable as reason:
            left_out[name] = str(reason)
        except ModuleNotFoundError as error:
            left_out[name] = f"{error.name} is not installed"
    return peers, left_out


# The gradients of the checked steps are these multiples of one array. Under Lion's rule the momentum outweighs the
# second by a little and loses to the third by a little, so a wrong beta turns a sign.
FACTORS = (1.0, -0.085, -0.083)


def check(rule: Rule, peers: dict[str, Peer], params: Arrays, grads: Arrays) -> None:
    """Hold every peer to the textbook in float64; afterwards all are loaded with `grads`."""
    textbook = Eager(rule, [p.astype(np.float64) for p in params])
    for factor in FACTORS:
        scaled = [np.float32(factor) * g for g in grads]
        textbook.load([g.astype(np.float64) for g in scaled])
        textbook.step()
        for peer in peers.values():
            peer.load(scaled)
            peer.step()
    for name, peer in peers.items():
        worst = max(_difference(a, b) for a, b in zip(textbook.params(), peer.params(), strict=True))
        if not worst <= TOLERANCE:  # a NaN disagrees
            raise Disagreement(
                f"{name} does other maths than {rule.name}'s textbook: after {len(FACTORS)} steps its parameters are "
                f"{worst:.1e} apart, more than {TOLERANCE:.0e}"
            )
        peer.load(grads)


def _difference(reference: Any, other: Any) -> float:
    return float(np.max(np.abs(reference - other) / np.maximum(1.0, np.abs(reference))))
