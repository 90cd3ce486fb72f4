"""What new HDF5 files say: attributes of fixed length alone."""

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvgen.errors import DatasetError, OutputError
from uvgen.storage.hdf5 import MAX_ATTRIBUTE_BYTES, new_hdf5, write_attributes
from uvgen.storage.hdf5_reading import open_hdf5


def written(path: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Attributes as they are read again."""
    with new_hdf5(path) as file:
        file["value"] = [1]
        write_attributes(file, values)
    with h5py.File(path) as file:
        for name in values:
            kind = file.attrs.get_id(name).get_type()
            assert kind.get_class() in (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.STRING, h5py.h5t.ENUM)
            assert kind.get_class() != h5py.h5t.STRING or not kind.is_variable_str()
    with open_hdf5(path) as opened:
        return dict(opened.attributes)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
VALUES = st.one_of(
    TEXT, st.lists(TEXT, min_size=1, max_size=5), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False),
    st.booleans(), st.lists(st.integers(-9, 9), min_size=1, max_size=5),
)  # fmt: skip


@given(values=st.dictionaries(st.sampled_from("abcdefgh"), VALUES))
def test_write_attributes_reads_back(tmp_path_factory: Any, values: dict[str, Any]) -> None:
    assert written(tmp_path_factory.mktemp("attributes") / "a.h5", values) == values


def test_write_attributes_of_half_a_surrogate_pair_writes_an_escape(tmp_path: Path) -> None:
    assert written(tmp_path / "a.h5", {"name": "a\udce9"}) == {"name": r"a\udce9"}


@pytest.mark.parametrize("value", ["é" * (MAX_ATTRIBUTE_BYTES // 2), np.zeros(MAX_ATTRIBUTE_BYTES // 8)])
def test_write_attributes_takes_what_hdf5_can_keep_and_no_more(tmp_path: Path, value: Any) -> None:
    with new_hdf5(tmp_path / "a.h5") as file:
        write_attributes(file, {"first": value, "second": value})
        more = f"{value}a" if isinstance(value, str) else np.append(value, 0.0)
        with pytest.raises(OutputError, match=r"^attribute odd: \d+ bytes, expected 64000 at most, which"):
            write_attributes(file, {"odd": more})
        assert set(file.attrs) == {"first", "second"}


@pytest.mark.parametrize(
    ("padding", "stored", "text"),
    [(h5py.h5t.STR_NULLTERM, b"ab\0junk", "ab"), (h5py.h5t.STR_NULLPAD, b"ab\0c\0\0", "ab\0c"),
     (h5py.h5t.STR_SPACEPAD, b"ab c  ", "ab c")],
)  # fmt: skip
def test_attribute_of_another_program_is_read_without_its_padding(
    tmp_path: Path, padding: int, stored: bytes, text: str
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(len(stored))
        kind.set_strpad(padding)
        found = h5py.h5a.create(file.id, b"odd", kind, h5py.h5s.create(h5py.h5s.SCALAR))
        found.write(np.array(stored), kind)
    with open_hdf5(tmp_path / "a.h5") as opened:
        assert opened.attributes == {"odd": text}


def test_attribute_that_is_no_utf8_is_refused_by_name(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.attrs["odd"] = np.bytes_(b"\xff")
    with open_hdf5(tmp_path / "a.h5") as opened, pytest.raises(DatasetError, match=r"a\.h5: an attribute of the file"):
        opened.attributes  # noqa: B018
