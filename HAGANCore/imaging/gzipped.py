"""Unpack gzip files no further than their header promises: a few megabytes may stand for many gigabytes."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

_PART = 1 << 20
DENSEST = 1032
"""Bytes that one byte of a gzip file can stand for at most (zlib's documentation)."""


def is_gzip(path: Path) -> bool:
    """Whether the file begins as gzip files do."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"


def unpack(path: Path, header_bytes: int, promised: Callable[[bytes], int]) -> bytes:
    """Return the beginning of a gzip file's content: as many bytes as its header promises.

    Where the content ends there, its checksum is tested; where more follows, that is never unpacked.

    Args:
        path: of the file; several gzip streams after one another are one content.
        header_bytes: length of the header; a shorter content is returned as it is.
        promised: given the header, the number of bytes that header and voxels take; it may raise.

    Raises:
        EOFError: the file ends before the content does.
        zlib.error: no gzip, or damaged.
    """
    content = bytearray()
    wanted, asked = header_bytes, False
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
    with path.open("rb") as stream:
        waiting = stream.read(_PART)
        while True:
            # One byte more than wanted tells whether the content ends here, and if so unpacks the checksum.
            content += unpacker.decompress(waiting, min(_PART, wanted + 1 - len(content)))
            waiting = unpacker.unconsumed_tail
            if unpacker.eof:
                waiting = unpacker.unused_data.lstrip(b"\0") or stream.read(_PART).lstrip(b"\0")
                if not waiting:
                    return bytes(content[:wanted]) if asked else bytes(content)
                unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            if len(content) >= header_bytes and not asked:
                wanted, asked = max(header_bytes, promised(bytes(content[:header_bytes]))), True
            if asked and len(content) > wanted:
                return bytes(content[:wanted])
            if not waiting:
                waiting = stream.read(_PART)
                if not waiting:
                    raise EOFError("Compressed file ended before the end-of-stream marker was reached")
