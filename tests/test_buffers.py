"""Buffers that are lent to one call at a time."""

import copy
import pickle

import pytest

from uvgen.buffers import BufferPool


def test_borrowed_lends_a_buffer_to_one_call_at_a_time_and_again_afterwards() -> None:
    pool = BufferPool(bytearray)
    with pool.borrowed() as first, pool.borrowed() as second:
        assert first is not second
    with pool.borrowed() as third:
        assert third in (first, second) and any(third is one for one in (first, second))


def test_borrowed_drops_a_buffer_in_which_an_exception_was_raised() -> None:
    pool = BufferPool(bytearray)
    with pytest.raises(ValueError, match="odd"), pool.borrowed() as first:
        raise ValueError("odd")
    with pool.borrowed() as second:
        assert first is not second


@pytest.mark.parametrize("again", [lambda pool: pickle.loads(pickle.dumps(pool)), copy.copy, copy.deepcopy])
def test_a_pickled_or_copied_pool_has_no_buffers(again) -> None:
    pool = BufferPool(bytearray)
    with pool.borrowed() as first:
        first.extend(bytes(1000))
    assert len(pickle.dumps(pool)) < 200
    with again(pool).borrowed() as other:
        assert other == b"" and other is not first
