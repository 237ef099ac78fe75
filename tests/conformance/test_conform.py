"""`samestep conform`: what it runs, what it prints and writes, and with what it ends."""

import json
import re
import runpy
import subprocess
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep import cli
from samestep.evaluate import Evaluated
from samestep.trace.ops import OPS
from samestep_conformance import report, suite
from samestep_conformance.arrays import SMALL
from samestep_conformance.programs import COVERING, distinct, optimizers
from samestep_conformance.runs import operations

BACKENDS = Path(__file__).with_name("otherstep.py")

# -- what is run -------------------------------------------------------------------------------------------------------


def test_ten_programs_use_every_operation():
    assert len(COVERING) == len(set(COVERING)) == 10
    assert set().union(*(operations(optimizers()[name], SMALL) for name in COVERING)) == set(OPS)


def test_every_named_constructor_is_run():
    constructors = {name for name in ss.__all__ if hasattr(getattr(ss, name), "pages")}
    labels = {str(optimizer).partition("(")[0] for optimizer in optimizers().values()}
    assert len(constructors) > 15 and constructors <= labels


def test_names_are_of_different_programs():
    assert 80 < len(distinct()) < len(optimizers())


def test_every_check_of_the_list_is_in_the_suite():
    assert len({check.name for check in suite.CHECKS}) == len(suite.CHECKS) == 14


@pytest.mark.parametrize(("quick", "spared"), [(True, 9), (False, len(optimizers()) - 10)])
def test_what_compiles_slowly_runs_few_programs(quick, spared, install):
    backend = Evaluated("numpy", "slow")
    backend.slow = "compile"
    install(backend)
    names = COVERING if quick else optimizers()
    reasons = [suite.spared(name, backend.name, "float32", quick, asked=False) for name in names]
    assert sum(bool(reason) for reason in reasons) == spared
    assert {reason[:26] for reason in reasons if reason} == {"a compilation takes second"}
    assert not suite.spared("adam", backend.name, "float32", quick, asked=True)
    few = suite.wanted_checks(backend.name, "float32", quick=True)
    assert {check.name for check in few} < {c.name for c in suite.wanted_checks("numpy", "float32", quick=True)}


def test_without_names_every_backend_runs_that_can():
    able = {backend.name for backend in backends.installed() if backend.missing() is None}
    assert set(suite.usable(None)) == able and suite.usable(None)[0] == "numpy"


# -- the command -------------------------------------------------------------------------------------------------------


FEW = ["--quick", "--optimizer", "adamw", "--optimizer", "muon", "--dtype", "float32"]


def conform(*arguments):
    return cli.main(["conform", *arguments])


def test_a_run_that_passes(capsys, tmp_path):
    files = {kind: tmp_path / "sub" / f"it.{kind}" for kind in ("json", "junit", "html")}
    written = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    assert conform(*FEW, "--backend", "strict", "--backend", "numpy", "--backend", "cuda-shim", *written) == 0
    out = capsys.readouterr().out
    assert re.search(r"adamw +│ exact +│ reference │ identical +│ identical", out)
    assert re.search(r"muon +│ call +│ reference │ identical +│ left out \[1\]", out)
    assert "[1] it reduces over axes or multiplies matrices, which the array library does itself" in out
    assert re.search(r"\d+ checks passed, 0 failed, \d+ left out; 5 combinations ran, 1 left out", out)
    _holds_json(json.loads(files["json"].read_text()))
    _holds_junit(ElementTree.fromstring(files["junit"].read_text()))
    page = files["html"].read_text()
    assert not re.search(r"src=|href=|@import|url\(|https?:", page), "it needs nothing from elsewhere"
    assert page.count("<details") == page.count("</details>") == 6 and "adamw, strict, float32: passed" in page


def _holds_json(found):
    assert set(found) == {"about", "stated exceptions", "left out", "results"}
    assert found["about"]["numpy"] == np.__version__
    rows = {(row["optimizer"], row["backend"]): row for row in found["results"]}
    assert len(rows) == 6
    assert rows["adamw", "strict"] | {"checks": []} == {
        "optimizer": "adamw", "backend": "strict", "dtype": "float32", "class": "exact", "status": "passed",
        "reason": "", "ulps": 0.0, "step": None, "checks": [],
    }  # fmt: skip
    assert rows["muon", "cuda-shim"]["status"] == "left out" and not rows["muon", "cuda-shim"]["checks"]
    strict, numpy = ({c["check"]: c for c in rows["adamw", name]["checks"]} for name in ("strict", "numpy"))
    assert strict["same bits"]["status"] == "passed" and numpy["same bits"]["status"] == "left out"
    assert numpy["matches the reference"]["message"] == "the recorded trajectories are float64"


def _holds_junit(root):
    assert root.tag == "testsuites" and {suite.tag for suite in root} == {"testsuite"}
    assert {suite.get("name") for suite in root} == {"samestep.numpy", "samestep.strict", "samestep.cuda-shim"}
    for element in (root, *root):
        assert {"tests", "failures", "skipped", "errors"} <= set(element.keys())
    for found in root:
        cases = found.findall("testcase")
        assert len(cases) == int(found.get("tests")) and float(found.get("time")) >= 0
        assert sum(case.find("skipped") is not None for case in cases) == int(found.get("skipped"))
        assert all(case.get("classname") and case.get("name") and case.get("time") for case in cases)
    assert root.get("failures") == "0" and int(root.get("tests")) == sum(int(found.get("tests")) for found in root)


def test_a_run_that_fails(capsys, tmp_path, install):
    backend = install(runpy.run_path(str(BACKENDS))["wrong"])
    junit, page = tmp_path / "it.xml", tmp_path / "it.html"
    options = ["--quick", "--optimizer", "lion", "--dtype", "float64", "--backend", backend.name]
    assert conform(*options, "--junit", str(junit), "--html", str(page)) == 1
    out = capsys.readouterr().out
    assert re.search(r"lion +│ exact +│ FAILED \S+ ULP in step 1 \[1\]", out)
    assert f"[1] lion-{backend.name}-float64: same bits: step 1, params ({backend.name} against numpy), leaf" in out
    root = ElementTree.fromstring(junit.read_text())
    failures = root.findall("testsuite/testcase/failure")
    assert len(failures) == int(root.get("failures")) > 0 and failures[0].get("type") == "Difference"
    assert "entries differ" in failures[0].text and '<td class="failed">' in page.read_text()


def test_what_xml_and_html_cannot_hold_is_written_otherwise():
    subject = suite.Subject("<a & b>", None, "numpy", "float32")
    outcome = suite.Outcome("same bits", suite.FAILED, "\x00 <i> ]]> & \ud800")
    cells = [suite.Cell(subject, "exact", "", (outcome,))]
    case = ElementTree.fromstring(report.to_junit(cells)).find("testsuite/testcase")
    assert case.get("name") == "<a & b>: same bits" and case.find("failure").text == "? <i> ]]> & ?"
    page = report.to_html(cells)
    assert "<i>" not in page and "&lt;i&gt;" in page


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "none"], "no backend is called 'none'"),
        (["--optimizer", "none*"], "no optimizer of the suite is called 'none*'"),
        (["--dtype", "int8"], "invalid choice: 'int8'"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    assert conform(*arguments) == 2
    assert message in capsys.readouterr().err


def test_a_backend_that_cannot_run_here_is_named_with_its_reason(install, capsys):
    backend = install(Evaluated("no_such_package", "absent"))
    assert conform("--backend", backend.name) == 2
    assert f"backend '{backend.name}' cannot run here: no_such_package is not installed" in capsys.readouterr().err
    assert report.absent()[backend.name] == "no_such_package is not installed"


def test_with_only_numpy_it_runs_and_says_what_it_left_out():
    script = """
        import sys
        from importlib.machinery import PathFinder

        absent = ["numba", "torch", "jax", "jaxlib", "dask", "cupy", "array_api_strict", "pytest", "hypothesis",
                  "ml_dtypes", "optax", "keras", "scipy", "sklearn"]

        class Without(PathFinder):
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                return None if name.partition(".")[0] in absent else super().find_spec(name, path, target)

        sys.meta_path[sys.meta_path.index(PathFinder)] = Without
        from samestep.cli import main
        sys.exit(main(["conform", "--quick", "--optimizer", "adamw", "--optimizer", "lamb_clipped"]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: torch: torch is not installed" in done.stdout and "left out: numba: numba is not" in done.stdout
    assert re.search(r"\d+ checks passed, 0 failed", done.stdout)
