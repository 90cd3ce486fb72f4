"""Names of shards and of augmented copies."""

import pytest

from uvgen.datasets.naming import copy_name, original_name, shard_file, shard_stem, subset_of_shard


@pytest.mark.parametrize("subset", ["IBUG", "IBUG_Flip", "a-b", ""])
def test_subset_of_shard_is_the_one_that_its_file_is_named_after(subset: str) -> None:
    for number in (0, 7, 100_000):
        assert subset_of_shard(shard_file(subset, number)) == subset
    assert shard_file("IBUG", 3) == "IBUG-00003.h5"


@pytest.mark.parametrize("name", ["IBUG/IBUG_image_008_1_0", "a-b/c-1"])
def test_original_name_of_a_copy_is_the_sample_s(name: str) -> None:
    assert copy_name(name, 12) == f"{name}-12"
    assert original_name(copy_name(name, 12)) == name


def test_shard_stem_is_a_name_in_its_folder_that_is_not_hidden() -> None:
    assert shard_stem("IBUG_Flip") == "IBUG_Flip"
    odd = [".frames", "..", "...", "//", "/", "../../x", ".frames" * 40]
    stems = [shard_stem(subset) for subset in [*odd, "_.frames"]]
    assert len(set(stems)) == len(stems)
    assert all(not stem.startswith(".") and "/" not in stem for stem in stems)
    assert all(len(shard_file(stem, 0).encode()) < 255 for stem in stems)
