"""The pytest plugin, as a third party uses it: two lines, for an optimizer and for a backend, right ones and wrong."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import samestep as ss
from samestep.errors import SamestepError
from samestep_conformance import conforms
from samestep_conformance.suite import Wanted

pytest_plugins = ["pytester"]
BACKENDS = Path(__file__).with_name("otherstep.py")

OPTIMIZERS = """
    import numpy as np
    from samestep_conformance import conforms

    class Descent:
        def init(self, params):
            return {"step": 0}

        def step(self, params, grads, state):
            with np.errstate(all="ignore"):
                new = {k: np.asarray(p - p.dtype.type(0.02) * grads[k]) for k, p in params.items()}
            return new, {"step": state["step"] + 1}

    class Writing(Descent):
        def step(self, params, grads, state):
            new, state = super().step(params, grads, state)
            for k, p in params.items():
                p[...] = new[k]
            return new, state

    test_right = conforms(Descent(), golden="sgd")
    test_wrong = conforms(Writing(), dtypes=["float64"])
"""


@pytest.fixture
def third_party(pytester, monkeypatch):
    """A distribution with two backends."""
    pytester.makepyfile(otherstep=BACKENDS.read_text())
    info = pytester.mkdir("otherstep-1.0.dist-info")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherstep\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[samestep.backends]\nright = otherstep:right\nwrong = otherstep:wrong\n")
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    return pytester


def run(pytester, *options):
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rsf", *options)


def test_an_optimizer_of_a_third_party(pytester):
    pytester.makepyfile(OPTIMIZERS)
    result = run(pytester)
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] == 1 and outcomes["passed"] > 20
    result.stdout.fnmatch_lines(["SKIPPED * its step has no argument donate*"])
    result.stdout.fnmatch_lines(["step 1, inputs after the step, against before, leaf *"])
    result.stdout.fnmatch_lines(["FAILED *::test_wrong[[]Writing-numpy-float64-pure[]]*"])


def test_a_backend_of_a_third_party(third_party):
    third_party.makepyfile(
        """
        from samestep_conformance import conforms
        test_right = conforms(backend="right")
        test_wrong = conforms(backend="wrong")
        """
    )
    result = run(third_party, "--samestep-optimizer", "lion*", "--samestep-dtype", "float32", "-k", "cautious-")
    outcomes = result.parseoutcomes()
    assert outcomes["failed"] >= 2
    result.stdout.fnmatch_lines(["step 1, params (wrong against numpy), leaf *"])
    result.stdout.fnmatch_lines(["FAILED *::test_wrong[[]lion_cautious-wrong-float32-same bits[]]*"])
    assert not any("test_right" in line for line in result.outlines if line.startswith("FAILED"))


def test_the_argument_alone_runs_the_suite_on_what_the_options_say(third_party):
    third_party.makepyfile("def test_all(samestep_case): samestep_case()")
    result = run(
        third_party, "--samestep-backend=right", "--samestep-optimizer=sgd", "--samestep-dtype=float64", "--co", "-q"
    )
    found = [line.partition("[")[2].rstrip("]") for line in result.outlines if "::" in line]
    assert len(found) > 10 and all(line.startswith("sgd-right-float64-") for line in found)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--samestep-backend=none", "no backend is called 'none'"),
        ("--samestep-optimizer=none", "no optimizer of the suite is called 'none'"),
    ],
)
def test_an_unknown_name_is_wrong_usage(pytester, option, message):
    pytester.makepyfile("def test_all(samestep_case): samestep_case()")
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", option)
    assert result.ret in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.INTERRUPTED)
    assert message in result.stdout.str() + result.stderr.str()


def test_pytest_starts_without_what_the_suite_needs():
    script = """
        import sys
        import samestep_conformance.plugin
        heavy = {"numpy", "optree", "rich", "samestep", "samestep_conformance.suite", "numba", "torch", "jax"}
        assert not heavy & set(sys.modules), heavy & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=60)


@pytest.mark.parametrize(
    ("optimizer", "more", "message"),
    [
        (ss.adam, {}, r"has init and step.*conforms\(adam"),
        (ss.adam(), {"golden": "adma"}, "no golden case is called 'adma'.*'adam'"),
        (ss.adam(), {"dtypes": ["float32", "int8"]}, "dtypes are some of .*'bfloat16'.* got .*'int8'"),
        (ss.adam(), {"dtypes": "float32"}, "dtypes are some of .* got 'float32'"),
    ],
)
def test_what_cannot_be_checked_is_refused_at_once(optimizer, more, message):
    with pytest.raises(SamestepError, match=message):
        conforms(optimizer, **more)


def test_a_test_has_the_golden_case_that_it_names():
    asked = conforms(ss.adam(), golden="adam", backend="numpy", dtypes=["float64"]).samestep
    assert [(subject.golden, subject.dtype) for subject in asked.subjects()] == [("adam", "float64")]


def test_a_dtype_of_the_command_line_is_one_of_the_suite():
    with pytest.raises(SamestepError, match=r"dtypes are some of .* got \['int8'\]"):
        Wanted().subjects(dtype=["int8"])
