"""`samestep demo`: two classifiers learn the UCI handwritten digits, on every array library that a backend runs.

The models, their losses and their gradients are written by hand in the array standard, so one code serves every
library. Each run takes the same minibatches from the same start. Both optimizers are arithmetic and square roots
alone, which every backend must do bit for bit: so each run ends at the very bits of the first one, or would have, had
its library computed the same gradients.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

import samestep as ss

from .backend import load
from .errors import BackendError, SamestepError
from .evaluate import library

Layers = list[dict[str, Any]]  # a weight and a bias each
EPOCHS, BATCH, SEED = 20, 32, 0


@dataclass(frozen=True)
class Model:
    """What is trained, by which optimizer, and the accuracy on the held-out quarter that it must exceed."""

    name: str
    sizes: tuple[int, ...]
    optimizer: ss.Optimizer
    wanted: float

    def __str__(self) -> str:
        return f"{self.name} {'-'.join(map(str, self.sizes))}, {self.optimizer}"


MODELS = (
    Model("softmax classifier", (64, 10), ss.adamw(1e-2), 0.93),
    Model("two-layer network", (64, 32, 10), ss.lion(1e-3, weight_decay=1.0), 0.95),
)


@dataclass(frozen=True)
class Data:
    """Images and one-hot labels, float32; a fixed quarter is held out."""

    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]

    def batches(self, epochs: int) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
        """For each epoch its minibatches, in an order that only the seed decides."""
        rng = np.random.default_rng(SEED)
        images, labels = self.train
        for _ in range(epochs):
            order = rng.permutation(len(images))
            yield [(images[order[i : i + BATCH]], labels[order[i : i + BATCH]]) for i in range(0, len(order), BATCH)]


def digits() -> Data:
    """The digits as scikit-learn packages them."""
    images, labels = needed("sklearn.datasets", "scikit-learn").load_digits(return_X_y=True)
    order = np.random.default_rng(SEED).permutation(len(images))
    images = (images[order] / 16).astype(np.float32)
    onehot = np.eye(10, dtype=np.float32)[labels[order]]
    held_out = len(images) // 4
    return Data((images[held_out:], onehot[held_out:]), (images[:held_out], onehot[:held_out]))


def needed(module: str, package: str) -> Any:
    """A module of an optional package, or an error that says how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        raise SamestepError(f"samestep demo needs {package} ({error}): pip install 'samestep[demo]'") from error


def start(sizes: Sequence[int]) -> Layers:
    """The first parameters, as NumPy arrays."""
    rng = np.random.default_rng(SEED)
    return [
        {"weight": rng.normal(0, n**-0.5, (n, m)).astype(np.float32), "bias": np.zeros(m, np.float32)}
        for n, m in pairwise(sizes)
    ]


def forward(xp: Any, layers: Layers, x: Any) -> tuple[list[Any], Any]:
    """What enters each layer, and the logarithms of the probabilities."""
    *hidden, last = layers
    inputs = [x]
    for layer in hidden:
        inputs.append(xp.tanh(inputs[-1] @ layer["weight"] + layer["bias"]))
    scores = inputs[-1] @ last["weight"] + last["bias"]
    scores = scores - xp.max(scores, axis=1, keepdims=True)
    return inputs, scores - xp.log(xp.sum(xp.exp(scores), axis=1, keepdims=True))


def gradients(xp: Any, layers: Layers, x: Any, labels: Any) -> Layers:
    """The gradient of the mean cross-entropy."""
    inputs, logs = forward(xp, layers, x)
    error = (xp.exp(logs) - labels) / x.shape[0]
    grads: Layers = []
    for layer, into in zip(reversed(layers), reversed(inputs), strict=True):
        grads.insert(0, {"weight": xp.matrix_transpose(into) @ error, "bias": xp.sum(error, axis=0)})
        error = (error @ xp.matrix_transpose(layer["weight"])) * (1 - into * into)  # through tanh
    return grads


def loss(xp: Any, layers: Layers, x: Any, labels: Any) -> float:
    """The mean cross-entropy."""
    return -float(xp.sum(forward(xp, layers, x)[1] * labels)) / x.shape[0]


def accuracy(xp: Any, layers: Layers, x: Any, labels: Any) -> float:
    """The share of images whose most probable digit is the right one."""
    right = xp.argmax(forward(xp, layers, x)[1], axis=1) == xp.argmax(labels, axis=1)
    return int(xp.sum(xp.astype(right, xp.int32))) / x.shape[0]


@dataclass(frozen=True)
class Runner:
    """An array library, and the backend that steps its arrays."""

    backend: str
    xp: Any
    reason: str
    automatic: bool

    @property
    def arrays(self) -> str:
        """The library's name."""
        return library(self.xp.asarray(0.0))

    @contextlib.contextmanager
    def context(self) -> Iterator[None]:
        """In it this backend steps; nothing is asked for where the automatic choice is the same."""
        wide = getattr(load(self.backend), "wide", contextlib.nullcontext)
        with wide(), contextlib.nullcontext() if self.automatic else ss.use_backend(self.backend):
            yield


def runners(names: Sequence[str] = ()) -> tuple[list[Runner], dict[str, str]]:
    """For each library the backend that is chosen by itself, then its others; and why a backend is left out.

    NumPy comes first. A backend says by `arrays()` whose arrays it runs, so that a new one, ours or not, joins.
    """
    left_out: dict[str, str] = {}
    libraries: dict[str, tuple[Any, list[str]]] = {np.__name__: (np, [])}
    for entry in ss.backends():
        backend: Any = load(entry.name)
        arrays = getattr(backend, "arrays", None)
        if not entry.installed or arrays is None or hasattr(backend, "settle"):
            why = "it does not say whose arrays it runs" if arrays is None else "its arrays are lazy, and a loop is not"
            left_out[entry.name] = why if entry.installed else entry.reason
            continue
        xp = arrays()
        libraries.setdefault(xp.__name__, (xp, []))[1].append(entry.name)
    found = []
    for xp, others in libraries.values():
        automatic = _runner(xp, None)
        found.append(automatic)
        for name in others:
            try:
                found += [_runner(xp, name)] if name != automatic.backend else []
            except BackendError as error:  # it runs these arrays, but not these programs
                left_out[name] = str(error)
    if not names:
        return found, left_out
    for name in names:
        load(name)  # raises for an unknown name
        if all(runner.backend != name for runner in found):
            raise SamestepError(f"the demo leaves out the backend {name!r}: {left_out[name]}")
    return [runner for runner in found if runner.backend in names], {}


def _runner(xp: Any, name: str | None) -> Runner:
    params = moved(start(MODELS[0].sizes), xp.asarray)
    with ss.use_backend(name) if name else contextlib.nullcontext():
        line = ss.explain(MODELS[0].optimizer, params).lines[0]  # all leaves are alike
    return Runner(line.backend, xp, line.reason, name is None)


def moved(layers: Layers, to: Callable[[Any], Any]) -> Layers:
    """The same layers with every array converted."""
    return [{key: to(array) for key, array in layer.items()} for layer in layers]


def to_numpy(array: Any) -> np.ndarray:
    """An array of any library, on any device, as NumPy's."""
    try:
        return np.asarray(array)
    except TypeError:  # on an accelerator, which some libraries leave only when asked
        return np.from_dlpack(array, device="cpu")


@dataclass
class Run:
    """What came of one model on one runner."""

    model: Model
    runner: Runner
    params: Layers = field(default_factory=list)
    gradients: list[Layers] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)  # on the training data, before the first epoch and after each
    accuracies: list[float] = field(default_factory=list)  # on the held-out quarter
    seconds: list[float] = field(default_factory=list)  # of each step
    same: str = "reference"

    @property
    def failures(self) -> list[str]:
        """What the run owes."""
        who, found = f"{self.model.name} on {self.runner.backend}", []
        if not self.accuracies[-1] > self.model.wanted:
            found.append(f"{who}: accuracy {self.accuracies[-1]:.3f}, not above {self.model.wanted}")
        if self.same == "NO":
            found.append(f"{who}: the final parameters are not the bits of the first run")
        return found


def train(model: Model, runner: Runner, data: Data, epochs: int, tick: Callable[[], object]) -> Run:
    """Train a model from its start; `tick` is called after every epoch."""
    run, xp, opt = Run(model, runner), runner.xp, model.optimizer
    train_set, test_set = [xp.asarray(x) for x in data.train], [xp.asarray(x) for x in data.test]
    params = moved(start(model.sizes), xp.asarray)

    def look() -> None:
        run.losses.append(loss(xp, params, *train_set))
        run.accuracies.append(accuracy(xp, params, *test_set))

    with runner.context():
        state = opt.init(params)
        look()
        for batches in data.batches(epochs):
            for images, labels in batches:
                grads = gradients(xp, params, xp.asarray(images), xp.asarray(labels))
                began = time.perf_counter()
                params, state = opt.step(params, grads, state)
                float(params[0]["bias"][0])  # waits for libraries that compute in the background
                run.seconds.append(time.perf_counter() - began)
                run.gradients.append(grads)
            look()
            tick()
    run.params = moved(params, to_numpy)
    return run


def compare(run: Run, first: Run) -> None:
    """Say whether the final parameters have the bits of the first run, by itself or given that run's gradients."""
    if bits(run.params) == bits(first.params):
        run.same = "yes"
        return
    xp, opt = run.runner.xp, run.model.optimizer
    with run.runner.context():
        params = moved(start(run.model.sizes), xp.asarray)
        state = opt.init(params)
        for grads in first.gradients:
            params, state = opt.step(params, moved(grads, lambda array: xp.asarray(to_numpy(array))), state)
    run.same = "replayed" if bits(moved(params, to_numpy)) == bits(first.params) else "NO"


def bits(layers: Layers) -> list[bytes]:
    """The parameters as bytes."""
    return [array.tobytes() for layer in layers for array in layer.values()]


def results(runs: Sequence[Run]) -> Table:
    """The runs of one model."""
    table = Table(title=str(runs[0].model), title_justify="left", title_style="bold")
    for column in ("arrays", "backend", "loss", "accuracy", "per step", "same bits"):
        table.add_column(column, justify="left" if column in ("arrays", "backend") else "right", no_wrap=True)
    for run in runs:
        accurate = run.accuracies[-1] > run.model.wanted
        table.add_row(
            run.runner.arrays,
            run.runner.backend,
            f"{run.losses[-1]:.4f}",
            f"{'' if accurate else '[red]'}{run.accuracies[-1]:.3f}",
            f"{1e6 * median(run.seconds):.0f} µs",
            f"{'[red]' if run.same == 'NO' else ''}{run.same}",
        )
    return table


def choices(found: Sequence[Runner], left_out: dict[str, str]) -> Table:
    """Which backend steps whose arrays, and why; and which do not."""
    table = Table("backend", "arrays", "why", title="Backends", title_justify="left", title_style="bold")
    for runner in found:
        table.add_row(runner.backend, runner.arrays, escape(runner.reason))
    for name, reason in left_out.items():
        table.add_row(name, "", f"left out: {escape(reason)}", style="dim")
    return table


NOTE = """\
loss: on what was learnt from; accuracy: on what was held out; per step: the median time of opt.step, without the
gradient. same bits: yes, where the final parameters are the first line's to the last bit; replayed, where the library's
own matmul, tanh or exp gave other gradients, and the parameters are those bits once it is given the first line's."""


class Demo:
    """`samestep demo`."""

    help = "train two classifiers on handwritten digits with every array library that is installed"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the arguments."""
        parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw loss and accuracy to this file")
        parser.add_argument(
            "--backend", action="append", default=[], metavar="NAME", help="only this backend; may be repeated"
        )
        parser.add_argument("--epochs", type=_positive, default=EPOCHS, help=f"passes over the data ({EPOCHS})")

    def run(self, args: argparse.Namespace) -> int:
        """0 if every run is accurate enough and has the same bits, else 1."""
        if args.plot:
            figures = needed("matplotlib.figure", "matplotlib")  # before the work, not after it
            formats = figures.Figure().canvas.get_supported_filetypes()
            if not args.plot.absolute().parent.is_dir() or args.plot.suffix.lstrip(".") not in formats:
                raise SamestepError(f"the plot cannot be written to {args.plot}: name a .png in a folder that is there")
        os.environ.setdefault(
            "OMP_NUM_THREADS", "1"
        )  # on models so small, threads wait for each other more than they do
        data = digits()
        found, left_out = runners(args.backend)
        runs = self._train(found, data, args.epochs)
        console = Console()
        console.print(f"{len(data.train[0])} digits to learn from, {BATCH} at a time; {len(data.test[0])} held out")
        for model in MODELS:
            console.print(results([run for run in runs if run.model is model]))
        console.print(choices(found, left_out))
        console.print(NOTE.replace("\n", " "), style="dim")
        if args.plot:
            from .demo_plot import plot

            plot(runs, args.plot)
            console.print(f"The curves are in {args.plot}", soft_wrap=True)
        failures = [failure for run in runs for failure in run.failures]
        for failure in failures:
            console.print(failure, style="red", soft_wrap=True)
        return 1 if failures else 0

    def _train(self, found: Sequence[Runner], data: Data, epochs: int) -> list[Run]:
        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        runs: list[Run] = []
        with Progress(*columns, console=Console(stderr=True)) as progress:
            for model in MODELS:
                first = len(runs)
                for runner in found:
                    task = progress.add_task(f"{model.name}, {runner.arrays} by {runner.backend}", total=epochs)
                    runs.append(train(model, runner, data, epochs, partial(progress.advance, task)))
                    if len(runs) - first > 1:
                        compare(runs[-1], runs[first])
        return runs


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"at least 1; got {value}")
    return value


command = Demo()
