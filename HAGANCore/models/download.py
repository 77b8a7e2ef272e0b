"""Download of a model file: only when asked; whole and checked, or not there at all."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from email.message import Message
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import HaganError
from ..hashing import sha256_of
from ..progress import Progress, no_progress
from .registry import RegistryEntry

BLOCK_BYTES = 256 << 10
"""Read at once; progress, and with it cancel, comes after each: every 0.1 s at 20 Mbit/s."""
BLOCK_SECONDS = 0.5
"""A slow line's block ends after this long, so that progress and cancel come anyway."""
TIMEOUT_SECONDS = 30.0
"""Without a byte, the connection counts as broken."""
SLOWEST, SLOW_SECONDS = 1000.0, 60.0
"""Bytes per second, over so long, below which a download would not end this year: it is given up."""


class _Broken(Exception):
    """The connection could not be made, or ended early."""


class _TooSlow(_Broken):
    """The connection holds, and brings next to nothing: another one would not be better."""


class _OtherFile(Exception):
    """What the server sends is not the model."""


def download(entry: RegistryEntry, folder: Path | str, progress: Progress = no_progress) -> Path:
    """Download a model file into a folder and return its path.

    The bytes go to ``NAME.safetensors.part``. A connection that breaks is taken up again as long as each
    attempt brings new bytes, and a later call goes on where an earlier one ended. The file gets its name
    only when its size and SHA-256 are those of the registry. Where what an earlier call had received turns
    out to be of another file, the download begins again, once. Only https is spoken, redirects included; http
    is for servers on this machine. The system's proxy settings (``https_proxy``, …) are honoured.

    Raises:
        HaganError: the model has no address, the server cannot be reached, sends other bytes, or the disk
            is full.
        Cancelled: ``progress`` raised it; the part stays for the next time.
    """
    url, size, sha256 = _checked_source(entry)
    path = Path(folder) / f"{entry.name}.safetensors"
    if path.is_file() and path.stat().st_size == size and sha256_of(path) == sha256:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    try:
        with _Part(part, size) as received:
            _require_space(path.parent, size - received.bytes)
            goes_on = received.bytes > 0
            try:
                _receive_model(url, received, sha256, progress)
            except _OtherFile:
                if not goes_on:
                    raise
                received.restart()
                _receive_model(url, received, sha256, progress)
    except _Broken as error:
        raise HaganError(
            f"The download of '{entry.name}' stopped at {received.bytes:,} of {size:,} bytes "
            f"({url}: {error}). Check the network and download again; it goes on from there."
        ) from None
    except _OtherFile as error:
        part.unlink()
        raise HaganError(
            f"What {url} sends is not the model '{entry.name}': {error}. Nothing was kept."
        ) from None
    part.replace(path)
    return path


def _checked_source(entry: RegistryEntry) -> tuple[str, int, str]:
    if entry.url is None or entry.bytes is None or entry.sha256 is None:
        raise HaganError(f"The model '{entry.name}' cannot be downloaded. {entry.how_to_obtain}")
    if not _is_safe(entry.url):
        raise HaganError(
            f"The address of model '{entry.name}' must begin with https://; found {entry.url!r}."
        )
    return entry.url, entry.bytes, entry.sha256


def _is_safe(url: str) -> bool:
    """Whether nobody on the way can read or change what is sent: https, or a server on this machine."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme != "http":
        return parts.scheme == "https"
    try:
        return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:  # a name
        return False


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise HaganError(
            f"The disk of '{folder}' has {free / 1e6:,.0f} MB free, the download needs "
            f"{needed / 1e6:,.0f} MB; free some or choose another folder."
        )


class _Part:
    """The bytes received so far, in a file that outlives the process, with their hash."""

    def __init__(self, path: Path, size: int) -> None:
        self.size = size
        self._file: BinaryIO = path.open("ab+")
        self._file.seek(0, os.SEEK_END)
        self.bytes = self._file.tell()
        self._digest = hashlib.sha256()
        if self.bytes > size:
            self.restart()
        self._file.seek(0)
        while block := self._file.read(1 << 20):
            self._digest.update(block)

    @property
    def sha256(self) -> str:
        """Hash of all bytes received."""
        return self._digest.hexdigest()

    def add(self, block: bytes) -> None:
        """Append a block."""
        self._file.write(block)
        self._digest.update(block)
        self.bytes += len(block)

    def restart(self) -> None:
        """Forget all bytes received."""
        self._file.truncate(0)
        self._digest = hashlib.sha256()
        self.bytes = 0

    def __enter__(self) -> _Part:
        return self

    def __exit__(self, *exception: object) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()


def _receive_model(url: str, received: _Part, sha256: str, progress: Progress) -> None:
    _receive_all(url, received, progress)
    if received.sha256 != sha256:
        raise _OtherFile(f"its SHA-256 is {received.sha256[:16]}…, the model's {sha256[:16]}…")


def _receive_all(url: str, received: _Part, progress: Progress) -> None:
    """Ask again after each break, as long as an attempt brings new bytes."""
    while received.bytes < received.size:
        before = received.bytes
        try:
            _receive(url, received, progress)
        except _TooSlow:
            raise
        except _Broken:
            if received.bytes <= before:
                raise


def _receive(url: str, received: _Part, progress: Progress) -> None:
    """Append what the server sends from where ``received`` ends."""
    begun, before = time.monotonic(), received.bytes
    for place, block in _blocks(url, received.bytes, received.size):
        if place == 0 and received.bytes:  # a server without ranges begins anew
            received.restart()
        received.add(block)
        if received.bytes > received.size:
            raise _OtherFile(f"it is longer than the {received.size:,} bytes of the model")
        done = f"{received.bytes / 1e6:,.1f} of {received.size / 1e6:,.1f} MB"
        progress(received.bytes / received.size, done)
        if (now := time.monotonic()) - begun > SLOW_SECONDS:
            if received.bytes - before < SLOWEST * (now - begun):
                raise _TooSlow(f"less than {SLOWEST:,.0f} bytes arrive in a second")
            begun, before = now, received.bytes
    if received.bytes < received.size:
        raise _Broken("the connection ended early")


def _blocks(url: str, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Yield the body's blocks, each with its place in the file; from 0 where ``start`` cannot be had.

    Raises:
        _Broken: the network failed.
        _OtherFile: the server announces a file that has not ``size`` bytes.
        HaganError: the server refused.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "hagan-core", "Accept-Encoding": "identity"})
    if start:
        request.add_header("Range", f"bytes={start}-")
    try:
        with _opener().open(request, timeout=TIMEOUT_SECONDS) as response:
            place = _first_byte(response.headers) if response.status == 206 else 0
            announced = place + (size - place if response.length is None else response.length)
            if place not in (0, start) or announced != size:
                raise _OtherFile(f"it has {announced:,} bytes, the model {size:,}")
            while block := _block(response):
                yield place, block
                place += len(block)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise _OtherFile(f"it is shorter than the {start:,} bytes already received") from None
        raise HaganError(f"The server refuses {url}: {error.code} {error.reason}.") from None
    except urllib.error.URLError as error:
        raise _Broken(str(error.reason)) from None
    except (OSError, HTTPException) as error:
        raise _Broken(str(error) or type(error).__name__) from None


def _block(response: HTTPResponse) -> bytes:
    """Return the next bytes, up to a whole block of them; none at the end."""
    block, until = b"", time.monotonic() + BLOCK_SECONDS
    while len(block) < BLOCK_BYTES and time.monotonic() < until:
        if not (more := response.read1(BLOCK_BYTES - len(block))):
            break
        block += more
    return block


def _first_byte(headers: Message) -> int:
    match = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(match[1]) if match else 0


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but never from https to http, nor to http on another machine."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        """Return the request for the address that the server names."""
        if not _is_safe(newurl) or (req.type == "https" and not newurl.startswith("https:")):
            raise HaganError(
                f"The server redirects {req.full_url} to {newurl}, which is not secure (https); nothing was "
                "received from there."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    """Return an opener that knows HTTP(S) and proxies alone, so that no redirect leads to ftp or a file."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        _SafeRedirects(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener
