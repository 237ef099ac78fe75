"""The suite, and a backend of somebody else's that comes in by its entry point; more in tests/conformance."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import samestep as ss
from samestep_conformance import checks


@pytest.mark.parametrize("name", checks.__all__)
def test_every_check_says_what_it_checks(name):
    found = getattr(checks, name)
    assert isinstance(found, dict) or found.__doc__


def test_checks_are_plain_functions():
    checks.same_bits(ss.adamw(), ("numba", False), ("numba", True), steps=5)
    checks.pure(ss.adamw())
    checks.resumes(ss.nadam())
    assert checks.agrees(ss.adamw(), "strict", steps=3).ulps == 0
    with pytest.raises(checks.LeftOut, match="reference"):
        checks.agrees(ss.adamw(), "numpy")


def test_a_third_party_backend_joins_through_its_entry_point(tmp_path: Path):
    """A distribution of its own, no line in the core: listed, chosen by name, chosen by itself for its rank."""
    (tmp_path / "otherstep.py").write_text(
        textwrap.dedent("""
        from samestep.evaluate import Evaluated

        class Other(Evaluated):
            rank = 1000

        backend, number = Other("numpy", "other"), 3
        """)
    )
    info = tmp_path / "otherstep-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: otherstep\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[samestep.backends]\nother = otherstep:backend\nlost = no_such_module:backend\n"
        "number = otherstep:number\nkind = otherstep:Other\n"
    )
    script = """
        import numpy as np, samestep as ss
        assert ss.explain(ss.adamw(), np.ones(3)).backend("") == "other"
        listed = {entry.name: entry for entry in ss.backends()}
        assert listed["other"].installed and not listed["lost"].installed and "no_such_module" in listed["lost"].reason
        assert listed["number"].reason == "its entry point is 3, which is no backend: no name, rank, missing, " \
            "arrays, accepts, refuses, compile"
        assert "a class is none" in listed["kind"].reason and not listed["kind"].installed
        from samestep_conformance import checks
        checks.same_bits(ss.adamw(), ("other", False), steps=5)
        checks.pure(ss.adamw(), "other")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
