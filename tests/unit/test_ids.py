"""Ids are UUIDs as the library writes them."""

from __future__ import annotations

from hashlib import sha256
from unittest.mock import patch
from uuid import RFC_4122, UUID

from hypothesis import given
from hypothesis import strategies as st

from caraway.core.ids import derived_id, new_id


@given(st.binary(min_size=16, max_size=16))
def test_a_new_id_is_a_random_uuid(random: bytes) -> None:
    with patch("os.urandom", return_value=random):
        id = new_id()
    assert id == str(UUID(bytes=random, version=4))
    assert (UUID(id).version, UUID(id).variant) == (4, RFC_4122)


@given(st.lists(st.one_of(st.text(), st.integers()), min_size=1))
def test_a_derived_id_is_the_uuid_of_what_it_derives_from(parts: list[object]) -> None:
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    assert derived_id(*parts) == str(UUID(bytes=sha256(text).digest()[:16], version=5))
