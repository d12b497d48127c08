"""Compression of texts that travel or are kept: Celery's names, and a bound on what comes out.

Equal input gives equal output: no header holds a time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from caraway.exceptions import DecodeError, ImproperlyConfigured, nearest
from caraway.lean import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT_BYTES: Final = 64 * 1024 * 1024
"""What is larger is never compressed, so data that decompresses to more was not made here: a few
kilobytes can stand for gigabytes."""
_DICTIONARY_BYTES: Final = 64 * 1024 * 1024
"""Memory that the header of lzma data may ask for; the preset in use asks for 9 MB."""


@dataclass(frozen=True)
class Compression:
    """A way to compress.

    Attributes
    ----------
    name
        As settings, options and messages name it.
    media_type
        What it is called where a text is kept inline, and in S3.
    """

    name: str
    media_type: str
    _compress: Callable[[bytes], bytes]
    _decompressor: Callable[[], Any]

    def compress(self, data: bytes) -> bytes | None:
        """Return data compressed; None where base64 of it would not be shorter, or it is huge."""
        if len(data) > LIMIT_BYTES:
            return None
        smaller = self._compress(data)
        return smaller if base64_length(smaller) < len(data) else None

    def decompress(self, data: bytes) -> bytes:
        """Return what was compressed.

        Raises
        ------
        DecodeError
            If data is not of this kind, ends early or goes on, or stands for more than
            :data:`LIMIT_BYTES`.
        """
        decompressor = self._decompressor()
        try:
            found: bytes = decompressor.decompress(data, LIMIT_BYTES + 1)
        except Exception as error:
            raise DecodeError(f"it is not {self.name} data: {error}") from error
        if len(found) > LIMIT_BYTES:
            raise DecodeError(f"its {self.name} data stands for more than {LIMIT_BYTES:,} bytes")
        if not decompressor.eof:
            raise DecodeError(f"its {self.name} data ends too early")
        if decompressor.unused_data:
            raise DecodeError(f"something follows its {self.name} data")
        return found


def base64_length(data: bytes) -> int:
    """Return how many characters data has in base64."""
    return (len(data) + 2) // 3 * 4


def compression(name: str) -> Compression:
    """Return a way to compress by its name, or by another name that Celery has for it.

    Raises
    ------
    ImproperlyConfigured
        If there is none, or its package is not installed.
    """
    known = _ALIASES.get(name, name)
    if known not in _MAKERS:
        raise ImproperlyConfigured(
            f"no compression named {name!r}{nearest(name, _MAKERS)} (there are {', '.join(NAMES)})"
        )
    return _MAKERS[known]()


def by_media_type(media_type: str) -> Compression:
    """Return a way to compress by its media type; raises as :func:`compression` does."""
    return compression(_NAMES.get(media_type, media_type))


def _gzip() -> Compression:
    import gzip
    import zlib

    return Compression(
        "gzip",
        "application/gzip",
        lambda data: gzip.compress(data, 6, mtime=0),
        lambda: zlib.decompressobj(16 + zlib.MAX_WBITS),
    )


def _zlib() -> Compression:
    import zlib

    return Compression("zlib", "application/zlib", zlib.compress, zlib.decompressobj)


def _bzip2() -> Compression:
    import bz2

    return Compression("bzip2", "application/x-bzip2", bz2.compress, bz2.BZ2Decompressor)


def _lzma() -> Compression:
    import lzma

    return Compression(
        "lzma",
        "application/x-xz",
        lzma.compress,
        lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY_BYTES),
    )


def _zstd() -> Compression:
    zstd: Any
    try:
        zstd = import_module("compression.zstd")  # Python 3.14
    except ModuleNotFoundError:
        try:
            zstd = import_module("backports.zstd")
        except ModuleNotFoundError as error:
            raise ImproperlyConfigured(
                "compression 'zstd' needs a package: pip install 'caraway[zstd]'"
            ) from error
    return Compression("zstd", "application/zstd", zstd.compress, zstd.ZstdDecompressor)


_MAKERS: Final[dict[str, Callable[[], Compression]]] = {
    "gzip": _gzip,
    "zlib": _zlib,
    "bzip2": _bzip2,
    "lzma": _lzma,
    "zstd": _zstd,
}
NAMES: Final = tuple(_MAKERS)
"""Every compression, whether its package is installed or not."""
_ALIASES: Final = {"bzip": "bzip2", "xz": "lzma", "zstandard": "zstd"}
_NAMES: Final = {
    "application/gzip": "gzip",
    "application/zlib": "zlib",
    "application/x-bzip2": "bzip2",
    "application/x-xz": "lzma",
    "application/zstd": "zstd",
}
