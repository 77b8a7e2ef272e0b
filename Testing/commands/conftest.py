"""What the tests of commands share."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from HAGANCore.cli import main

UsageError = Callable[..., str]


@pytest.fixture
def usage_error(capsys: pytest.CaptureFixture[str]) -> UsageError:
    """Run a ``hagan …`` that is wrong in itself: exit code 2, the usage, and one line, which is returned."""

    def run(*words: object) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*map(str, words)])
        assert ended.value.code == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        usage, line = shown.err.rsplit("\n", 2)[:2]
        assert usage.startswith(f"usage: hagan {words[0]}")
        assert line.startswith(f"hagan {words[0]}")
        assert "error: " in line
        return line

    return run
