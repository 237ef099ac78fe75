"""`samestep conform`: what it runs, what it prints and writes, and with what it ends."""

import json
import re
import runpy
import subprocess
import sys
import textwrap
from html import escape
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import samestep as ss
from samestep import backend as backends
from samestep import cli
from samestep.evaluate import Evaluated
from samestep.trace.ops import OPS
from samestep_conformance import against, jobs, report, suite
from samestep_conformance import conform as command
from samestep_conformance.arrays import LONG, SMALL, Feed
from samestep_conformance.bits import Apart
from samestep_conformance.programs import COVERING, first_alike, optimizers
from samestep_conformance.runs import operations, run

BACKENDS = Path(__file__).with_name("otherstep.py")

# -- what is run -------------------------------------------------------------------------------------------------------


def test_ten_programs_use_every_operation():
    assert len(COVERING) == len(set(COVERING)) == 10
    assert set().union(*(operations(optimizers()[name], SMALL) for name in COVERING)) == set(OPS)


@pytest.mark.parametrize("quick", [True, False])
def test_a_run_takes_these_programs_or_all_on_every_backend(quick):
    rows, dtypes = COVERING if quick else list(optimizers()), ("float32", "float64")
    wanted = [(row, dtype, backend) for row in rows for dtype in dtypes for backend in suite.usable(None)]
    assert [(place.name, place.dtype, place.backend) for place in suite.places(quick=quick)] == wanted


def test_every_named_constructor_is_run():
    constructors = {name for name in ss.__all__ if hasattr(getattr(ss, name), "pages")}
    labels = {str(optimizer).partition("(")[0] for optimizer in optimizers().values()}
    assert len(constructors) > 15 and constructors <= labels


def test_other_numbers_make_no_other_program():
    alike = first_alike(list(optimizers()))
    assert 10 < len(alike) < 40 and not set(alike) & set(COVERING), "what compiles slowly runs every check"
    assert alike["adam_schedule"] == "adam" and first_alike(["adam_schedule", "adam"]) == {"adam": "adam_schedule"}
    assert not {"adam", "adamw_amsgrad", "sgd_nesterov"} & set(alike)
    for name, like in alike.items():
        ours, theirs = (chain.program((5, 4)) for n in (name, like) for chain in optimizers()[n].chains)
        assert ours is theirs, name


def test_a_full_run_takes_a_program_once():
    first, other = suite.places(["adam", "adam_schedule"], ["strict"], ["float32"])
    assert (first.like, other.like) == ("", "adam")
    cell = suite.examine(suite.subject("adam_schedule", "strict", "float32"), suite.CHECKS, "", other.like)
    found = {outcome.check: outcome for outcome in cell.outcomes}
    assert list(found) == [check.name for check in suite.CHECKS]
    assert found["same bits"].status == suite.PASSED and found["long run"].status == suite.LEFT_OUT
    assert found["pure"].message == "as with adam: the same program, with other numbers"
    assert cell.not_compared == "long run left out: as with adam: the same program, with other numbers"


def test_a_long_run_with_a_bound_judges_steps_to_its_end(monkeypatch):
    judged, within = [], against.within
    monkeypatch.setattr(against, "within", lambda *a: judged.append(a[3]) or within(*a))
    against.long_run(optimizers()["every transcendental operation"], "numba", shapes={"w": (5,)})
    assert judged == list(range(7, 1001, 7))


def test_a_check_on_leaves_that_the_backend_refuses_is_left_out():
    factored = suite.Subject("factored", ss.adafactor(min_dim=10), "numba", "float64")  # not of the usual leaves
    (long,) = (check for check in suite.CHECKS if check.leaves is LONG)
    outcome = suite.judge(long, factored)
    assert outcome.status == suite.LEFT_OUT and "reduces over axes" in outcome.message
    assert factored.refused() is None


def test_every_check_of_the_list_is_in_the_suite():
    assert len({check.name for check in suite.CHECKS}) == len(suite.CHECKS) == 14


def test_a_long_run_moves_to_its_end():
    feed = Feed(tame=True)
    *_, before, after = run(optimizers()["adam"], "numpy", "float32", 300, feed("float32", LONG), shapes=LONG)
    assert np.mean(before[0]["matrix"] != after[0]["matrix"]) > 0.9, "an infinite second moment would have ended it"


@pytest.mark.parametrize(("quick", "spared"), [(True, 9), (False, len(optimizers()) - 10)])
def test_what_compiles_slowly_runs_few_programs(quick, spared, install):
    backend = Evaluated("numpy", "slow")
    backend.slow = "compile"
    install(backend)
    names = COVERING if quick else optimizers()
    reasons = [suite.spared(name, backend.name, quick, asked=False) for name in names]
    assert sum(bool(reason) for reason in reasons) == spared
    assert {reason[:26] for reason in reasons if reason} == {"a compilation takes second"}
    assert not suite.spared("adam", backend.name, quick, asked=True)
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
    assert "<li>it reduces over axes" in page and f"<td>{np.__version__}</td>" in page


def _holds_json(found):
    assert set(found) == {"about", "stated exceptions", "left out", "results"}
    assert found["about"]["numpy"] == np.__version__
    rows = {(row["optimizer"], row["backend"]): row for row in found["results"]}
    assert len(rows) == 6
    assert rows["adamw", "strict"] | {"checks": []} == {
        "optimizer": "adamw", "backend": "strict", "dtype": "float32", "class": "exact", "status": "passed",
        "reason": "", "ulps": 0.0, "step": None, "checks": [],
    }  # fmt: skip
    left = rows["muon", "cuda-shim"]
    assert left["status"] == "left out" and "it reduces over axes" in left["reason"] and not left["checks"]
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
        assert all(case.find("skipped").get("message") for case in cases if case.find("skipped") is not None)
    assert root.get("failures") == "0" and int(root.get("tests")) == sum(int(found.get("tests")) for found in root)


def test_a_run_that_fails(capsys, tmp_path, install):
    backend = install(runpy.run_path(str(BACKENDS))["wrong"])
    junit, page = tmp_path / "it.xml", tmp_path / "it.html"
    options = ["--quick", "--jobs", "1", "--optimizer", "lion", "--dtype", "float64", "--backend", backend.name]
    assert conform(*options, "--junit", str(junit), "--html", str(page)) == 1
    out = capsys.readouterr().out
    assert re.search(r"lion +│ exact +│ FAILED \S+ ULP in step 1 \[1\]", out)
    assert f"[1] lion-{backend.name}-float64: same bits: step 1, params ({backend.name} against numpy), leaf" in out
    text = page.read_text()
    assert f"<li>lion-{backend.name}-float64: same bits: step 1, params" in text and "<code>step 1, params" in text
    root = ElementTree.fromstring(junit.read_text())
    failures = root.findall("testsuite/testcase/failure")
    assert len(failures) == int(root.get("failures")) > 0 and failures[0].get("type") == "Difference"
    assert "entries differ" in failures[0].text and '<td class="failed">' in text


def test_what_xml_and_html_cannot_hold_is_written_otherwise():
    subject = suite.Subject("<a & b>", None, "numpy", "float32")
    outcome = suite.Outcome("same bits", suite.FAILED, "\x00 <i> ]]> & \ud800")
    cells = [suite.Cell(subject, "exact", "", (outcome,))]
    case = ElementTree.fromstring(report.to_junit(cells)).find("testsuite/testcase")
    assert case.get("name") == "<a & b>: same bits" and case.find("failure").text == "? <i> ]]> & ?"
    page = report.to_html(cells)
    assert "<i>" not in page and "&lt;i&gt;" in page


# -- the matrix --------------------------------------------------------------------------------------------------------


def _cell(dtype, ulps=0.0, reason=""):
    subject = suite.Subject("adam", None, "torch", dtype)
    outcome = suite.Outcome("same bits", suite.PASSED, "", Apart(ulps, 3), 0.0, True)
    return suite.Cell(subject, "exact", reason, () if reason else (outcome,))


@pytest.mark.parametrize(
    ("cells", "text"),
    [
        ([_cell("float32"), _cell("float64")], "identical"),
        ([_cell("float32", 1.0), _cell("float64", 1.0)], "1 ULP in step 3"),
        ([_cell("float32"), _cell("float64", 2.0)], "float32: identical\nfloat64: 2 ULP in step 3"),
        ([_cell("float32"), _cell("float64", reason="why")], "float32: identical\nfloat64: left out [1]"),
        ([_cell("float32", reason="why"), _cell("float64", reason="why")], "left out [1]"),
        (
            [_cell("float32", reason="why"), _cell("float64", reason="so")],
            "float32: left out [1]\nfloat64: left out [2]",
        ),
        ([_cell("float32")], "identical"),
    ],
)
def test_a_place_says_what_each_dtype_came_to(cells, text):
    matrix = report.Matrix(cells)
    status = suite.LEFT_OUT if all(cell.reason for cell in cells) else suite.PASSED
    assert matrix.at("adam", "torch") == (status, text)
    several = "in float32 and float64; what names none of them holds for each"
    assert matrix.title.endswith(several if len(cells) > 1 else "check, in float32")


def test_what_is_stated_of_a_backend_is_in_every_report():
    cells = [suite.Cell(suite.Subject("adam", None, "jax-jit", "float32"), "exact", "not now")]
    said = report.Matrix(cells).remarks()["jax-jit, stated exceptions"]
    assert said.startswith("subnormals: ") and escape(said) in report.to_html(cells)
    assert set(report.to_json(cells)["stated exceptions"]) == {"jax-jit"}


def test_what_an_interrupted_run_did_not_reach(capsys, monkeypatch):
    def interrupted(places):
        yield 0, places[0].examined()
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "in_turn", interrupted)
    assert conform("--quick", "--jobs", "1", "--optimizer", "lion", "--backend", "numpy", "--backend", "strict") == 1
    out = capsys.readouterr().out
    assert re.search(r"lion +│ exact +│ float32: reference +│ left out \[1\]", out) and "float64: left out [1]" in out
    assert "[1] the run was interrupted before" in out and "1 combinations ran, 3 left out" in out


# -- processes ---------------------------------------------------------------------------------------------------------


def _bare(cell):
    return jobs.to_line(cell) | {"outcomes": [{**vars(o), "seconds": 0.0} for o in cell.outcomes]}


def test_processes_find_what_one_finds_and_the_order_is_the_same(monkeypatch):
    monkeypatch.setattr(jobs, "SHARES", 1)  # a fresh process after each
    places = suite.places(["lion", "muon"], ["numpy", "strict"], quick=True)
    found = dict(jobs.spread(places, 2))
    assert sorted(found) == list(range(8))
    assert [_bare(found[number]) for number in range(8)] == [_bare(cell) for _, cell in jobs.in_turn(places)]
    assert {outcome.status for cell in found.values() for outcome in cell.outcomes} == {suite.PASSED, suite.LEFT_OUT}


DYING = """
    import os, sys
    from samestep_conformance import jobs, suite

    examined = suite.Place.examined

    def dies(place):
        print("noise, which is no answer")
        if place.backend == "strict":
            os.write(2, b"x" * 100_000 + b" its last words")
            os._exit(3)
        return examined(place)

    suite.Place.examined = dies
    jobs.answer()
"""


def test_a_process_that_dies_is_a_failure_and_the_others_go_on(monkeypatch, capsys):
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", textwrap.dedent(DYING)))
    options = ["--quick", "--jobs", "2", "--optimizer", "lion", "--backend", "numpy", "--backend", "strict"]
    assert conform(*options, "--backend", "numba") == 1
    out = capsys.readouterr().out
    assert re.search(r"lion +│ exact +│ reference +│ float32: FAILED \[1\]", out) and "float64: FAILED [2]" in out
    assert "[1] lion-strict-float32: its process: its process ended with code 3: xxx" in out
    assert out.count("x its last words") == 2 and "6 combinations ran, 0 left out" in out


def test_an_answer_that_is_none_is_raised_where_the_run_was_asked_for(monkeypatch):
    monkeypatch.setattr(jobs, "COMMAND", (sys.executable, "-c", "print('noise')"))
    with pytest.raises(json.JSONDecodeError):
        list(jobs.spread(suite.places(["lion"], ["numpy"], quick=True), 2))


def test_a_run_that_is_given_up_leaves_no_process():
    running = jobs.spread(suite.places(["lion", "adam"], ["numpy"], quick=True), 2)
    workers = []
    real = jobs.Worker.ask
    jobs.Worker.ask = lambda worker, place: workers.append(worker) or real(worker, place)
    try:
        next(running)
        running.close()
    finally:
        jobs.Worker.ask = real
    assert workers and all(worker.process.poll() is not None for worker in workers)


def test_what_xla_compiles_is_kept_beside_the_kernels(monkeypatch, tmp_path):
    monkeypatch.setenv("SAMESTEP_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    assert jobs.environment()["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "xla")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
    assert jobs.environment()["JAX_COMPILATION_CACHE_DIR"] == "mine"


# -- wrong usage -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backend", "none"], "no backend is called 'none'"),
        (["--optimizer", "none*"], "no optimizer of the suite is called 'none*'"),
        (["--dtype", "int8"], "invalid choice: 'int8'"),
        (["--jobs", "0"], "'0' is no number of processes; write 1 or more"),
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
        sys.exit(main(["conform", "--quick", "--jobs", "1", "--optimizer", "adamw", "--optimizer", "lamb_clipped"]))
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: torch: torch is not installed" in done.stdout and "left out: numba: numba is not" in done.stdout
    assert re.search(r"\d+ checks passed, 0 failed", done.stdout)
