"""What is compressed comes back, and nothing else comes out of it."""

from __future__ import annotations

import gzip
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caraway.core import compression as compressions
from caraway.core.compression import NAMES, by_media_type, compression
from caraway.core.decoding import from_base64
from caraway.core.encoding import to_base64
from caraway.exceptions import DecodeError, ImproperlyConfigured

LIMIT = 10_000
TEXT = b'{"caraway":1,"args":["again and again and again"]}' * 50


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compressions, "LIMIT_BYTES", LIMIT)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=300), times=st.integers(1, 200))
def test_what_is_compressed_comes_back(name: str, data: bytes, times: int) -> None:
    method, whole = compression(name), data * times
    smaller = method.compress(whole)
    assert smaller == method.compress(whole)  # equal input, equal output
    if smaller is None:  # random bytes do not get shorter
        smaller = method._compress(whole)
        assert len(to_base64(smaller)) >= len(whole)
    else:
        assert len(to_base64(smaller)) < len(whole)
    assert method.decompress(smaller) == whole


@pytest.mark.parametrize("name", NAMES)
@given(data=st.binary(max_size=200))
def test_any_data_is_decompressed_or_refused(name: str, data: bytes) -> None:
    with suppress(DecodeError):
        compression(name).decompress(data)


@pytest.mark.parametrize("name", NAMES)
@given(at=st.integers(0, 10_000), flip=st.integers(1, 255))
def test_damaged_data_is_decompressed_or_refused(name: str, at: int, flip: int) -> None:
    method = compression(name)
    damaged = bytearray(method.compress(TEXT) or b"")
    damaged[at % len(damaged)] ^= flip
    with suppress(DecodeError):
        method.decompress(bytes(damaged))


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("name", NAMES)
def test_a_bomb_is_refused_before_it_has_gone_off(name: str) -> None:
    method = compression(name)
    assert method.decompress(method._compress(bytes(LIMIT))) == bytes(LIMIT)
    with pytest.raises(DecodeError, match="stands for more than 10,000 bytes"):
        method.decompress(method._compress(bytes(LIMIT + 1)))
    with pytest.raises(DecodeError, match="stands for more than 10,000 bytes"):
        method.decompress(method._compress(bytes(LIMIT * 500)))


@pytest.mark.usefixtures("small_limit")
def test_what_no_reader_would_take_is_not_compressed() -> None:
    assert compression("gzip").compress(bytes(LIMIT)) is not None
    assert compression("gzip").compress(bytes(LIMIT + 1)) is None


@pytest.mark.parametrize("name", NAMES)
def test_data_that_ends_early_or_goes_on_is_refused(name: str) -> None:
    method = compression(name)
    smaller = method.compress(TEXT) or b""
    with pytest.raises(DecodeError, match="ends too early"):
        method.decompress(smaller[:-5])
    with pytest.raises(DecodeError, match="something follows"):
        method.decompress(smaller + b"!")


def test_lzma_data_cannot_ask_for_any_amount_of_memory() -> None:
    import lzma

    greedy = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}])
    with pytest.raises(DecodeError, match=r"[Mm]emory"):
        compression("lzma").decompress(greedy)


@pytest.mark.parametrize(
    ("written", "name"), [("bzip", "bzip2"), ("xz", "lzma"), ("zstandard", "zstd")]
)
def test_celerys_other_names_are_read(written: str, name: str) -> None:
    assert compression(written).name == name


@pytest.mark.parametrize("name", NAMES)
def test_each_is_found_by_its_media_type(name: str) -> None:
    assert by_media_type(compression(name).media_type).name == name


def test_others_read_gzip_and_zlib_as_they_know_them() -> None:
    assert gzip.decompress(compression("gzip").compress(TEXT) or b"") == TEXT
    assert zlib.decompress(compression("zlib").compress(TEXT) or b"") == TEXT


def test_an_unknown_one_raises_with_the_nearest() -> None:
    with pytest.raises(ImproperlyConfigured, match="no compression named 'gzipp', did you mean"):
        compression("gzipp")


def test_a_package_that_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> Any:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(compressions, "import_module", absent)
    with pytest.raises(ImproperlyConfigured, match=r"pip install 'caraway\[zstd\]'"):
        compression("zstd")


@pytest.mark.parametrize("text", ["?", "abc", "YQ", "서울", "YQ==\n", None, 5, b"YQ=="])
def test_what_is_no_base64_is_refused(text: Any) -> None:
    with pytest.raises(DecodeError, match="base64"):
        from_base64(text)
