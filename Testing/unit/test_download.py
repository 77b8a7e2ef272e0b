"""Download from a real server on this machine: whole, or not at all, and gone on with."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from model_server import CONTENT, Server

from HAGANCore.errors import Cancelled, HaganError
from HAGANCore.models.download import download
from HAGANCore.models.registry import RegistryEntry


def test_a_download_is_whole_and_reports_its_progress(
    tmp_path: Path, an_entry: Callable[..., RegistryEntry]
) -> None:
    seen: list[tuple[float, str]] = []
    path = download(an_entry(), tmp_path / "new", lambda fraction, text="": seen.append((fraction, text)))
    assert path == tmp_path / "new" / "small.safetensors"
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert len(fractions) == 10
    assert seen[-1] == (1.0, "1.0 of 1.0 MB")


def test_nothing_is_fetched_where_the_model_is_there_already(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors").write_bytes(CONTENT)
    download(an_entry(), tmp_path)
    assert a_server.requests == []
    (tmp_path / "small.safetensors").write_bytes(CONTENT[:-1] + b"?")
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert len(a_server.requests) == 1


def test_a_connection_that_breaks_is_taken_up_where_it_broke(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.breaks_after = [250_000, 1, 300_000]
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    asked = [wanted for _, wanted in a_server.requests]
    assert asked == [None, "bytes=250000-", "bytes=250001-", "bytes=550001-"]


def test_an_attempt_that_brings_nothing_ends_it_and_the_next_call_goes_on(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.breaks_after = [400_000, 0]
    with pytest.raises(HaganError, match=r"stopped at 400,000 of 1,000,000 bytes .* it goes on from there"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors.part").stat().st_size == 400_000
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert a_server.requests[-1][1] == "bytes=400000-"


def test_a_cancelled_download_keeps_its_part_and_goes_on(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    def cancel(fraction: float, text: str = "") -> None:
        if fraction >= 0.3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        download(an_entry(), tmp_path, cancel)
    assert [path.name for path in tmp_path.iterdir()] == ["small.safetensors.part"]
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert a_server.requests[-1][1] == "bytes=300000-"


def test_a_server_without_ranges_is_read_from_the_start(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.ranges = False
    (tmp_path / "small.safetensors.part").write_bytes(b"x" * 300_000)
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT


def test_a_server_that_does_not_announce_the_length_is_read_too(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.announces_length = False
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    a_server.content = CONTENT + b"more"
    with pytest.raises(HaganError, match="longer than the 1,000,000 bytes"):
        download(an_entry(name="other"), tmp_path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (CONTENT[:-1] + b"?", "its SHA-256 is"),
        (CONTENT + b"!", "it has 1,000,001 bytes, the model 1,000,000"),
        (b"<html>sign in</html>", "it has 20 bytes"),
        (b"", "it has 0 bytes"),
    ],
)
def test_other_bytes_than_the_models_are_not_kept(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], content: bytes, expected: str
) -> None:
    a_server.content = content
    with pytest.raises(
        HaganError, match=rf"is not the model 'small': {re.escape(expected)}.*Nothing was kept"
    ):
        download(an_entry(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_part_of_another_file_is_found_out_by_the_hash_and_begun_again(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    part = tmp_path / "small.safetensors.part"
    part.write_bytes(b"x" * 300_000)
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in a_server.requests] == ["bytes=300000-", None]
    assert not part.exists()
    part.write_bytes(b"x" * 1_000_001)  # longer than the model: not gone on from
    assert download(an_entry(name="small"), tmp_path / "b").read_bytes() == CONTENT


def test_what_is_another_file_from_the_start_is_asked_for_once_more_and_no_oftener(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.content = CONTENT[:-1] + b"?"
    (tmp_path / "small.safetensors.part").write_bytes(CONTENT[:200])
    with pytest.raises(HaganError, match=r"its SHA-256 is .* Nothing was kept"):
        download(an_entry(), tmp_path)
    assert [wanted for _, wanted in a_server.requests] == ["bytes=200-", None]
    assert list(tmp_path.iterdir()) == []


def test_a_whole_part_that_is_another_file_is_begun_again(
    tmp_path: Path, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors.part").write_bytes(b"x" * len(CONTENT))
    assert download(an_entry(), tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_servers_file_is_dropped(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    a_server.content = CONTENT[:100]
    (tmp_path / "small.safetensors.part").write_bytes(CONTENT[:200])
    with pytest.raises(HaganError, match="it has 100 bytes, the model 1,000,000"):
        download(an_entry(), tmp_path)
    assert [wanted for _, wanted in a_server.requests] == ["bytes=200-", None]
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors").write_bytes(b"older")
    a_server.breaks_after = [10, 0]
    with pytest.raises(HaganError, match="stopped at 10"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors").read_bytes() == b"older"


def test_a_refusal_says_its_code_and_keeps_the_part(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    (tmp_path / "small.safetensors.part").write_bytes(CONTENT[:200])
    a_server.status = 404
    with pytest.raises(HaganError, match=r"refuses .*404 Not Found"):
        download(an_entry(), tmp_path)
    assert (tmp_path / "small.safetensors.part").stat().st_size == 200


def test_no_server_is_said_in_one_line(tmp_path: Path, an_entry: Callable[..., RegistryEntry]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/m"
        with pytest.raises(HaganError, match=r"stopped at 0 of 1,000,000 bytes .*refused") as caught:
            download(an_entry(url=url), tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("target", ["file:///etc/hostname", "ftp://127.0.0.1/m", "data:,x"])
def test_only_http_is_spoken_even_when_redirected(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], target: str
) -> None:
    with pytest.raises(HaganError, match="must begin with https://"):
        download(an_entry(url=target), tmp_path)
    a_server.redirect = target
    with pytest.raises(HaganError):
        download(an_entry(), tmp_path)
    assert not (tmp_path / "small.safetensors").exists()


def test_a_redirect_to_http_is_followed(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    first = Server()
    first.redirect = a_server.url
    thread = threading.Thread(target=first.handle_request)
    thread.start()
    assert download(an_entry(url=first.url), tmp_path).read_bytes() == CONTENT
    thread.join()
    first.server_close()


def test_the_proxy_of_the_environment_is_used(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", a_server.url.removesuffix("/model.safetensors"))
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(HaganError, match="stopped at 0 of 1,000,000 bytes"):
        download(an_entry(url="https://models.invalid/thorax"), tmp_path)
    assert a_server.requests == [("CONNECT models.invalid:443", None)]


def test_a_full_disk_is_said_before_the_download(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    with pytest.raises(HaganError, match="MB free, the download needs 1,000,000,000 MB"):
        download(an_entry(bytes=10**15), tmp_path)
    assert a_server.requests == []


def test_a_model_without_an_address_says_how_to_obtain_it(
    tmp_path: Path, a_server: Server, an_entry: Callable[..., RegistryEntry]
) -> None:
    with pytest.raises(HaganError, match=r"'small' cannot be downloaded\. Ask its authors\."):
        download(an_entry(url=None), tmp_path)
    assert a_server.requests == []
