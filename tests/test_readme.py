"""The examples of README.md, CONTRIBUTING.md and the guides run; the README's set-up commands have a promised form."""

import re
import textwrap
from pathlib import Path

import pytest

import samestep as ss
from samestep.catalogue import OPTIMIZER, entries
from samestep_conformance.programs import COVERING

ROOT = Path(__file__).parents[1]
GUIDES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs" / "guides").glob("*.md"))
PAGES = ["README.md", "CONTRIBUTING.md", *GUIDES]
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)


def blocks(name: str, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of one language as (number of the line before the block's first, text)."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return [
        (text.count("\n", 0, match.start("body")), textwrap.dedent(match["body"]))
        for match in FENCE.finditer(text)
        if match["language"] == language
    ]


def test_the_catalogue_of_the_readme_names_every_optimizer():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [
        name for name, entry in entries().items() if entry.kind == OPTIMIZER and not re.search(rf"`{name}\b", text)
    ]
    assert not missing, f"README.md, The catalogue: add {missing}"


def test_the_matrix_of_the_readme_is_that_of_a_quick_run():
    """Its rows and columns; and whatever is exact is identical, or left out."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    head, _, *rows = [
        line.strip("| ").split(" | ") for line in re.findall(r"^\|.*\|$", text.split("conform --quick")[1], re.M)
    ]
    rows = rows[: len(COVERING)]
    assert [row[0] for row in rows] == list(COVERING)
    assert {*head[2:], "cupy"} == {entry.name for entry in ss.backends()}
    for row in rows:
        assert len(row) == len(head) and row[head.index("numpy")] == "reference"
        if row[1] == "exact":
            assert all(re.fullmatch(r"=|reference|left out \(1\)", place) for place in row[2:]), row


@pytest.mark.parametrize("name", PAGES)
def test_python_blocks_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = blocks(name, "python")
    assert found, f"{name} has no python block"
    namespace = {"__name__": name.removesuffix(".md")}
    for before, text in found:
        # Blank lines in front, so that a traceback shows the line of the page.
        exec(compile("\n" * before + text, str(ROOT / name), "exec"), namespace)


def anchors(text: str) -> set[str]:
    """What a link to a heading is called."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_the_pages_lead_somewhere():
    assert GUIDES, "docs/guides is empty"
    linked = set()
    for name in PAGES:
        for target in re.findall(r"\]\((?!http)([^)]*)\)", (ROOT / name).read_text(encoding="utf-8")):
            file, _, anchor = target.partition("#")
            path = ((ROOT / name).parent / file).resolve() if file else ROOT / name
            assert path.is_file(), f"{name}: {target}"
            assert not anchor or anchor in anchors(path.read_text(encoding="utf-8")), f"{name}: {target}"
            linked |= {str(path.relative_to(ROOT))} if name == "README.md" else set()
    assert set(GUIDES) <= linked, "README.md links to every guide"


def test_readme_has_exactly_two_setup_commands():
    commands = [line for _, text in blocks("README.md", "sh") for line in text.splitlines() if "-m venv" in line]
    assert len(commands) == 2, commands
    first, second = commands
    assert first.endswith("/samestep demo")
    assert "/pytest" in second
    for command in commands:
        assert "-c constraints-dev.txt" in command
        assert not command.endswith("\\")


def test_ci_runs_the_readmes_test_command():
    marks = re.findall(r'grep -F (?:-- )?"([^"]+)"', (ROOT / ".ci" / "run").read_text(encoding="utf-8"))
    assert marks, ".ci/run no longer looks for the command in README.md"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert sum(all(mark in line for mark in marks) for line in text.splitlines()) == 1
