"""``hagan … --help``: what a user reads first."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib.metadata import version

import pytest

from HAGANCore.cli import main
from HAGANCore.cli.parser import COMMANDS, build_parser


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield a parser and those of all its commands and actions."""
    yield parser
    for part in parser._actions:
        if isinstance(part, argparse._SubParsersAction):
            for child in part.choices.values():
                yield from parsers(child)


ALL = {parser.prog: parser for parser in parsers(build_parser())}


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.split() == ["hagan", version("hagan-core")]


def test_commands_and_actions_are_found() -> None:
    assert {f"hagan {name}" for name in COMMANDS} < ALL.keys()
    assert {"hagan directions fit", "hagan directions matrix", "hagan model info"} < ALL.keys()


@pytest.mark.parametrize("prog", ALL)
def test_help_shows_an_example_that_can_be_typed(prog: str) -> None:
    _, heading, examples = ALL[prog].format_help().lower().rpartition("example")
    assert heading
    assert any(line.strip(": ").startswith(prog) for line in examples.splitlines())
