"""`samestep list` and `samestep show`: every public name is there, and all that is said of it is so."""

import re

import numpy as np
import pytest

import samestep as ss
from samestep import schedules
from samestep.catalogue import MODIFIER, OPTIMIZER, SCHEDULE, entries
from samestep.cli import main
from samestep.page import Page

FOUND = entries()
STEPPED = [name for name, found in FOUND.items() if found.kind != SCHEDULE]
FREE_NUMBERS = {"level"}  # of a loss
FACTS = ("Source", "Equations", "Hyperparameters", "State", "Exactness", "Dialects", "Kernels")


def shown(capsys, *argv):
    code = main(argv)
    out, err = capsys.readouterr()
    return code, out, err


def test_every_public_name_is_listed(capsys):
    makers = {n for n in ss.__all__ if hasattr(getattr(ss, n), "pages") or isinstance(getattr(ss, n), Page)}
    assert makers <= set(FOUND) and set(schedules.FUNCTIONS) <= set(FOUND)
    kinds = {found.kind for found in FOUND.values()}
    assert {OPTIMIZER, MODIFIER, SCHEDULE} <= kinds
    code, out, _ = shown(capsys, "list")
    assert code == 0 and all(name in out.split() for name in FOUND)
    assert all(re.search(rf"^{name} +(exact|reduce|transcendental|call)\b.* B/param", out, re.M) for name in STEPPED)
    code, out, _ = shown(capsys, "list", "adam*")
    assert code == 0 and "adamw" in out and "lion" not in out


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [("lazy_step", ss.ftrl_proximal()), ("variance_reduced", ss.l_svrg(0.1)), ("natasha_step", None)],
)
def test_what_stands_behind_others(name, optimizer):
    """A rule, a snapshot or its correction comes before them: a named optimizer shows them in their place."""
    example = FOUND[name].example
    assert optimizer is None or example == optimizer
    assert getattr(ss, name) in [part.page for part in example.chains[-1].parts]


@pytest.mark.parametrize("name", STEPPED)
def test_show(name, capsys):
    """Equations, in LaTeX too, numbers with default and domain, state, class, source, dialects and kernels."""
    code, out, _ = shown(capsys, "show", name)
    assert code == 0 and all(f"\n{title}" in out for title in FACTS)
    for hyper in FOUND[name].hypers:
        table = out.partition("\nHyperparameters\n")[2].splitlines()
        row = next(line for line in table if line.startswith(f"{hyper.name} "))
        default = "required" if hyper.required else repr(hyper.default)
        assert re.fullmatch(rf"{hyper.name} +{re.escape(default)} +(number|option) +\S.*", row), row
        assert hyper.name in FREE_NUMBERS or "any number" not in row
    assert "https://" in out or "no paper" in out
    assert "bytes per parameter" in out and re.search(r"^(exact|reduce|transcendental|call);", out, re.MULTILINE)
    code, out, _ = shown(capsys, "show", name, "--latex")
    assert code == 0 and out.count("\\begin{align*}") == out.count("\\end{align*}") >= 1
    assert "matrix\\_transpose" not in out and r"\operatorname{matmul}" not in out
    code, out, _ = shown(capsys, "show", name, "--kernel", "python")
    assert (code == 0 and "xp." in out) or "return" in out


def test_the_facts_are_those_of_the_optimizer(capsys):
    _, out, _ = shown(capsys, "show", "adamw")
    assert "m: as the parameter (float32)\nv: as the parameter (float32)\n8 bytes per parameter" in out
    assert ss.adamw().state_bytes(np.zeros(10, np.float32)) == 80
    assert "exact; a step moves 28 bytes per parameter" in out
    assert "28 bytes per parameter, exact" in str(ss.explain(ss.adamw(), np.zeros(10, np.float32)))
    assert "'outside', 'inside', 'hat'" in out and "in [0, 1)" in out


def test_a_part_stands_where_it_belongs(capsys):
    """What follows the step follows it here, a decay by lr comes before, and a factorisation's arrays have names."""
    _, out, _ = shown(capsys, "show", "ema")
    assert "p' = p - lr g\naveraged'" in out and "average + " in out and "(p' - average)" in out
    _, out, _ = shown(capsys, "show", "decay")
    assert "p' = p (1 - lr weight_decay) - lr g" in out
    _, out, _ = shown(capsys, "show", "shampoo")
    assert "vectors(x1) max(values(x1), eps)" in out


def test_sources_are_whole():
    """A paper is told to its end, and the summary, which the first line shows, is not told again."""
    for found in FOUND.values():
        assert not any(source.endswith(",") or source.startswith(("http", found.summary)) for source in found.sources)


def test_kernels(capsys):
    code, out, _ = shown(capsys, "show", "lion", "--kernel", "numba")
    assert code == 0 and "def stage0(" in out
    code, out, _ = shown(capsys, "show", "lion", "--kernel", "cuda")
    assert code == 0 and "__global__" in out
    code, out, _ = shown(capsys, "show", "shampoo", "--kernel", "python")
    assert code == 0 and "xp.linalg.eigh" in out
    code, _, err = shown(capsys, "show", "shampoo", "--kernel", "numba")
    assert code == 2 and "numba has no kernel of shampoo" in err
    code, _, err = shown(capsys, "show", "lion", "--kernel", "fortran")
    assert code == 2 and "'cuda', 'numba', 'python'" in err


def test_schedules_and_unknown_names(capsys):
    code, out, _ = shown(capsys, "show", "cosine")
    assert code == 0 and out.startswith("schedules.cosine(value, steps, end=0.0") and "half a wave" in out
    assert shown(capsys, "show", "cosine", "--kernel", "numba")[0] == 2
    code, _, err = shown(capsys, "show", "adamv")
    assert code == 2 and "is it 'adam'" in err
    assert shown(capsys, "list", "zzz*")[0] == 2
