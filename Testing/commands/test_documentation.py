"""The documentation is true: its commands are understood, its tutorials run, its links lead somewhere."""

from __future__ import annotations

import doctest
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

import HAGANCore
from HAGANCore.cli import main
from HAGANCore.cli.parser import build_parser

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("Resources/**/*.md")]
    if "_build" not in path.parts
}
TUTORIALS = ["docs/tutorials/researcher.md", "docs/tutorials/engineer.md"]
SMALLER = {"60": "30", "10": "5"}
"""Of ``--samples`` and ``--probes``: half as many show that the tutorial's fit works, in half the time."""
OTHER_PROGRAMS = {".", "tensorboard"}


def blocks(page: str, *languages: str) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of a page's code blocks, in their order."""
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", PAGES[page], re.MULTILINE | re.DOTALL):
        if language in languages:
            yield language, text


def commands(text: str) -> list[list[str]]:
    """Return the words of each line of a shell block that is not empty."""
    lines = (shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines())
    return [words for words in lines if words]


WITH_COMMANDS = [page for page in PAGES if any(blocks(page, "sh"))]


def test_there_is_documentation() -> None:
    assert {"README.md", "CONTRIBUTING.md", *TUTORIALS} <= set(WITH_COMMANDS)


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_is_understood(page: str) -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in (words for _, text in blocks(page, "sh") for words in commands(text)):
        program, *rest = words
        if program == "hagan":
            assert is_understood(rest), words
        elif program == "make":
            assert {word for word in rest if "=" not in word} <= set(targets), words
        elif program == "python":
            assert rest[:2] == ["-m", "pip"] or (ROOT / rest[0]).is_file(), words
        else:
            assert program in OTHER_PROGRAMS, words


def is_understood(words: list[str]) -> bool:
    try:
        build_parser().parse_args(words)
    except SystemExit as ended:
        return ended.code == 0  # --help
    return True


@pytest.mark.parametrize("page", TUTORIALS)
def test_a_tutorial_runs_from_beginning_to_end(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in blocks(page, "sh", "python"):
        if language == "python":
            exec(compile(text, page, "exec"), {})
            continue
        for program, *words in commands(text):
            assert program == "hagan"
            if "--samples" in words:
                words = [SMALLER.get(word, word) for word in words]
            assert main(words) == 0, (words, capfd.readouterr().err)
    if page.endswith("engineer.md"):  # other outputs are of a patient's scan, or of the larger fit
        _, printed = next(blocks(page, "text"))
        assert printed.strip() in "".join(capfd.readouterr())


@pytest.mark.parametrize("page", [page for page in PAGES if any(blocks(page, "pycon"))])
def test_examples_in_python(page: str) -> None:
    text = "".join(text for _, text in blocks(page, "pycon"))
    example = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    assert doctest.DocTestRunner().run(example).failed == 0


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"https?:", link):
            continue
        file, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text(encoding="utf-8")), link


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub and MyST give the headings of a page."""
    headings = re.findall(r"^#+ +(.+?) *$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_versions_agree() -> None:
    def found(pattern: str, file: str) -> str:
        match = re.search(pattern, (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert match is not None, file
        return match[1]

    assert found(r"^version: (\S+)$", "CITATION.cff") == HAGANCore.__version__
    assert found(r"^## \[(\d\S*)\]", "CHANGELOG.md") == HAGANCore.__version__
    ruff = found(r'"ruff==([\d.]+)"', "pyproject.toml")
    assert found(r"ruff-pre-commit\n +rev: v([\d.]+)$", ".pre-commit-config.yaml") == ruff
