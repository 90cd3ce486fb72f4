"""What a build puts into shards: right labels, the same bytes whatever the circumstances, and nothing bad."""

import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io as sio
from hypothesis import given
from hypothesis import strategies as st
from support.builds import SMALL, assert_equal_samples, by_name, file_hashes, make
from support.toy import HEIGHT, N_SHAPE, parameters, toy_model, write_sample, write_tree

from uvgen import (
    Augmentation,
    BuildResult,
    Criteria,
    MorphableModel,
    PositionMapper,
    RunOptions,
    SampleSelection,
    SynthOptions,
    augment_shards,
    build_shards,
    import_maps,
    load_model,
    merge_shards,
    open_shards,
    read_image,
    render_faces,
    select_names,
    verify_shards,
    warp_image,
    weight_mask,
)
from uvgen.datasets import make_shards
from uvgen.datasets.config import BuildConfig
from uvgen.datasets.fields import MAP_PARAMETERS
from uvgen.datasets.naming import shard_stem
from uvgen.datasets.plan import plan_shards
from uvgen.errors import DatasetError, InputError, OutputError, SampleError
from uvgen.fixed_point import FixedPoint
from uvgen.models.model_file import save_model
from uvgen.models.morphable import make_model
from uvgen.samples.find import Sample, find_samples
from uvgen.shards.index import Index
from uvgen.storage.files import folds_case

EXACT = dataclasses.replace(SMALL, posmap_dtype="float32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tree that no test changes."""
    return write_tree(tmp_path_factory.mktemp("data") / "300W_LP")


@pytest.fixture(scope="module")
def built(data: Path, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of it that no test changes."""
    out = tmp_path_factory.mktemp("built") / "shards"
    make(data, model_path, out)
    return out


# The same bytes


@pytest.mark.slow
@pytest.mark.vital
def test_build_with_two_workers_writes_the_same_bytes(
    data: Path, built: Path, model_path: Path, tmp_path: Path
) -> None:
    make(data, model_path, tmp_path / "two", run=RunOptions(2))
    assert file_hashes(tmp_path / "two") == file_hashes(built)
    assert len(file_hashes(built)) == 6 + 2  # two shards a subset, the index and the constants, nothing else


def test_build_with_model_in_memory_writes_the_same_bytes(
    data: Path, built: Path, model: MorphableModel, tmp_path: Path
) -> None:
    build_shards(find_samples(data), tmp_path / "out", model=model, config=SMALL, root=data)
    assert file_hashes(tmp_path / "out") == file_hashes(built)


def test_build_and_augment_with_numpy_s_numbers_write_the_same_bytes(
    data: Path, built: Path, model_path: Path, tmp_path: Path
) -> None:
    config = BuildConfig(
        size=np.int64(SMALL.size), uv_size=np.uint16(SMALL.uv_size), shard_size=np.int32(2), seed=np.int64(0),
        jitter=np.float64(SMALL.jitter),
    )  # fmt: skip
    assert config == SMALL and json.dumps(config.to_plain()) == json.dumps(SMALL.to_plain())
    make(data, model_path, tmp_path / "out", config)
    assert file_hashes(tmp_path / "out") == file_hashes(built)
    augment_shards(built, tmp_path / "plain", "prnet", seed=3, copies=1)
    augment_shards(built, tmp_path / "numpy", "prnet", seed=np.int64(3), copies=np.int8(1))
    assert file_hashes(tmp_path / "plain") == file_hashes(tmp_path / "numpy")


def test_build_on_a_moved_tree_writes_the_same_bytes(
    built: Path, model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path / "elsewhere" / "data")
    monkeypatch.chdir(tmp_path)
    make(Path("elsewhere/data"), model_path, Path("out"))
    assert file_hashes(tmp_path / "out") == file_hashes(built)


def test_build_config_takes_a_preset_s_name_and_lists() -> None:
    config = BuildConfig(augmentation="prnet", keep=["tex"], targets=["depth"])
    assert config == BuildConfig(augmentation=Augmentation.preset("prnet"), keep=("tex",), targets=("depth",))
    config.check()
    assert BuildConfig.from_plain(config.to_plain()) == config and hash(config) is not None
    with pytest.raises(InputError, match="augmentation: preset: 'nope', expected"):
        BuildConfig(augmentation="nope")
    with pytest.raises(InputError, match="augmentation: 3, expected an Augmentation or a preset's name"):
        BuildConfig(augmentation=3).check()


def test_a_single_text_where_names_are_expected_is_refused(data: Path, built: Path, tmp_path: Path) -> None:
    calls: dict[str, Callable[[], object]] = {
        "subsets: 'IBUG'": lambda: find_samples(data, "IBUG"),
        "subsets: 'AFW'": lambda: select_names(built, Criteria(subsets="AFW")),
        "subsets: 'LFPW'": lambda: render_faces(tmp_path / "out", 1, options=SynthOptions(subsets="LFPW")),
        "keep: 'tex'": BuildConfig(keep="tex").check,
        "targets: 'depth'": BuildConfig(targets="depth").check,
    }
    for found, call in calls.items():
        with pytest.raises(InputError, match=f"^{found}, expected a list of names, such as \\['"):
            call()


def test_fields_that_are_named_twice_are_refused() -> None:
    with pytest.raises(InputError, match=r"^keep: tex, tex, expected each once"):
        BuildConfig(keep=("tex", "tex")).check()
    with pytest.raises(InputError, match=r"^targets: depth, depth, expected each once"):
        BuildConfig(targets=("depth", "depth")).check()


@pytest.mark.parametrize("limit", [-60, 0, 2.5, "3", True])
def test_a_limit_that_is_no_number_of_samples_is_refused(
    data: Path, model_path: Path, tmp_path: Path, limit: Any
) -> None:
    with pytest.raises(InputError, match=f"^limit: {limit!r}.* 1 or more"):
        SampleSelection(limit=limit)
    with pytest.raises(InputError, match=f"^limit: {limit!r}.* 1 or more"):
        import_maps(data, out=tmp_path / "out", model=model_path, limit=limit)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("choice", ["one subset", "reversed", "first alone", "one shard"])
def test_build_of_other_choice_gives_a_sample_the_same_content(
    data: Path, built: Path, model_path: Path, tmp_path: Path, choice: str
) -> None:
    samples = find_samples(data)
    config = dataclasses.replace(SMALL, shard_size=100) if choice == "one shard" else SMALL
    chosen = {"one subset": samples[3:6], "reversed": samples[::-1], "first alone": samples[:1], "one shard": samples}
    build_shards(chosen[choice], tmp_path / "out", model=load_model(model_path), config=config, root=data)
    expected, found = by_name(built), by_name(tmp_path / "out")
    assert found.keys() == {sample.name for sample in chosen[choice]}
    for name in found:
        assert_equal_samples(found[name], expected[name])


@given(st.data())
def test_plan_shards_of_any_list_cuts_every_subset_in_order(data: st.DataObject) -> None:
    subsets = data.draw(st.lists(st.sampled_from(["AFW", "IBUG", "IBUG_Flip"]), max_size=40))
    samples = [Sample(f"{subset}/{k}", subset, None, None) for k, subset in enumerate(subsets)]
    size = data.draw(st.integers(1, 12))
    tasks = plan_shards(samples, size)
    assert len({task.file for task in tasks}) == len(tasks)
    for subset, count in Counter(subsets).items():
        own = [task for task in tasks if task.samples[0].subset == subset]
        assert [task.file for task in own] == [f"{subset}-{k:05d}.h5" for k in range(-(-count // size))]
        assert [s for task in own for s in task.samples] == [s for s in samples if s.subset == subset]
        assert all(len(task.samples) == size for task in own[:-1])


# The content


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("convention", ["exact", "face3d"])
def test_build_stores_maps_that_agree_with_their_parameters(
    data: Path, model: MorphableModel, model_path: Path, tmp_path: Path, dtype: str, convention: str
) -> None:
    config = dataclasses.replace(SMALL, posmap_dtype=dtype, convention=convention)
    make(data, model_path, tmp_path, config)
    s = open_shards(tmp_path)[:]
    mapper = PositionMapper(model, config.uv_size, convention)
    maps, landmarks = mapper.maps_and_landmarks(*(s[name] for name in MAP_PARAMETERS))
    if dtype == "uint16":  # the very codes, which are rounded in float32: by a hair more than half a step
        codes = FixedPoint.for_crop(config.size)
        stored, _, _ = mapper.codes_and_landmarks(*(s[name] for name in MAP_PARAMETERS), codes)
        np.testing.assert_array_equal(s["posmap"], codes.decode(stored))
        np.testing.assert_allclose(s["posmap"], maps, atol=codes.scale / 2 + 2e-5, rtol=0)
    else:
        np.testing.assert_array_equal(s["posmap"], maps)
    np.testing.assert_array_equal(s["landmarks"], landmarks)
    np.testing.assert_array_equal(s["image_height"], HEIGHT)


def test_build_stores_the_crop_that_its_similarity_says(data: Path, built: Path) -> None:
    reader = open_shards(built)
    for sample in find_samples(data):
        stored = reader[reader.names.index(sample.name)]
        expected = warp_image(read_image(sample), stored["image_to_crop"], SMALL.size)
        np.testing.assert_array_equal(stored["image"], expected)
        assert stored["image"].std() > 5  # a picture, not a black square


def test_build_stores_the_parameters_of_the_file(data: Path, built: Path) -> None:
    stored = by_name(built, "shape", "expression", "pose")
    content = sio.loadmat(data / "IBUG_Flip/IBUG_002_1_0.mat")
    for key, source in (("shape", "Shape_Para"), ("expression", "Exp_Para"), ("pose", "Pose_Para")):
        expected = content[source].ravel().astype(np.float32)
        np.testing.assert_array_equal(stored["IBUG_Flip/IBUG_002_1_0"][key], expected)


def test_build_convention_face3d_shifts_labels_one_pixel_right_and_up(
    data: Path, model_path: Path, tmp_path: Path
) -> None:
    points = {}
    for convention in ("exact", "face3d"):
        make(data, model_path, tmp_path / str(convention), dataclasses.replace(EXACT, convention=convention))
        s = open_shards(tmp_path / str(convention))[:]
        back = np.linalg.inv(s["image_to_crop"])  # the crops differ too, so compare in the image
        points[convention] = s["landmarks"][..., :2] @ back[:, :2, :2] + back[:, None, :2, 2]
    shift = points["face3d"] - points["exact"]
    # float32 landmarks of up to 32 px, three image pixels each
    np.testing.assert_allclose(shift, np.broadcast_to([1.0, -1.0], shift.shape), atol=1e-4)


def test_build_without_jitter_centers_the_crop_on_the_landmarks(data: Path, model_path: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        make(data, model_path, tmp_path / str(seed), dataclasses.replace(EXACT, jitter=0, seed=seed))
    s = open_shards(tmp_path / "0")[:]
    low, high = s["landmarks"][..., :2].min(axis=1), s["landmarks"][..., :2].max(axis=1)
    # float32 landmarks of up to 32 px
    np.testing.assert_allclose((low + high) / 2, (SMALL.size - 1) / 2, atol=1e-5)
    np.testing.assert_allclose((high - low).sum(axis=1) / 2 * 1.5, SMALL.size - 1, atol=1e-5)
    np.testing.assert_array_equal(s["image_to_crop"], open_shards(tmp_path / "1")[:]["image_to_crop"])


def jitter_of(folder: Path) -> np.ndarray:
    """(n, 3) how far each crop was moved, in extents, and how much its size was changed, as a share."""
    s = open_shards(folder)[:]
    low, high = s["landmarks"][..., :2].min(axis=1), s["landmarks"][..., :2].max(axis=1)
    extent = (high - low).sum(axis=1, keepdims=True) / 2
    moved = ((SMALL.size - 1) / 2 - (low + high) / 2) / extent
    return np.hstack([moved, (SMALL.size - 1) / (1.5 * extent) - 1])


def test_build_jitter_is_drawn_anew_for_each_sample_and_seed(
    data: Path, built: Path, model_path: Path, tmp_path: Path
) -> None:
    make(data, model_path, tmp_path / "out", dataclasses.replace(SMALL, seed=1))
    jitter = np.concatenate([jitter_of(built), jitter_of(tmp_path / "out")])
    assert np.abs(jitter).max() <= 0.1 + 1e-5  # float32 landmarks
    assert (np.abs(jitter).max(axis=0) > 0.06).all()  # 18 uniform draws stay below once in 10^4 seeds
    for column in jitter.T:
        assert len(np.unique(column.round(4))) == len(column)


def test_build_compressed_reads_the_same(data: Path, built: Path, model_path: Path, tmp_path: Path) -> None:
    make(data, model_path, tmp_path / "out", dataclasses.replace(SMALL, compression="gzip"))
    with h5py.File(tmp_path / "out/IBUG-00000.h5") as file:
        assert file["image"].compression == file["posmap"].compression == "gzip"
        assert file["posmap"].chunks == (1, SMALL.uv_size, SMALL.uv_size, 3)
    expected, found = by_name(built), by_name(tmp_path / "out")
    assert found.keys() == expected.keys()
    for name in found:
        assert_equal_samples(found[name], expected[name])
    assert not verify_shards(tmp_path / "out", model=load_model(model_path)).problems


def test_build_stores_the_weight_mask(
    data: Path, built: Path, model: MorphableModel, model_path: Path, tmp_path: Path
) -> None:
    np.testing.assert_array_equal(open_shards(built).constants["weight_mask"], weight_mask(model, SMALL.uv_size))
    own = np.random.default_rng(0).random((SMALL.uv_size, SMALL.uv_size), np.float32)
    make(data, model_path, tmp_path / "out", weights=own)
    np.testing.assert_array_equal(open_shards(tmp_path / "out").constants["weight_mask"], own)
    with pytest.raises(InputError, match=r"weights: float32 \(3, 4\), expected \(48, 48\)"):
        make(data, model_path, tmp_path / "bad", weights=np.ones((3, 4), np.float32))
    for bad in (np.nan, -1.0):
        with pytest.raises(InputError, match="weights: negative or non-finite weights"):
            make(data, model_path, tmp_path / "bad", weights=np.full((SMALL.uv_size, SMALL.uv_size), bad))


def test_build_result_counts_what_the_folder_holds(data: Path, model_path: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    seen: list[Any] = []
    result = make(data, model_path, tmp_path / "out", progress=seen.append)
    shards = sorted((tmp_path / "out").glob("*.h5"))
    size_bytes = sum(path.stat().st_size for path in shards)
    assert result == BuildResult(9, 9, (), tuple(shards), size_bytes, result.seconds, quality=result.quality)
    assert result.quality is not None and result.quality.n_annotated == 9
    assert sorted(r.entry.file for r in seen) == sorted(path.name for path in shards)
    again = make(data, model_path, tmp_path / "out")
    assert (again.samples, again.new_samples) == (9, 0)


# Bad samples


def test_build_bad_sample_costs_only_itself(model_path: Path, tmp_path: Path) -> None:
    """Eighteen samples in one shard, of which three are damaged later: the others keep every bit."""
    tree = tmp_path / "data"
    for k in range(18):
        write_sample(tree / "AFW", f"AFW_{k:02d}", seed=k)
    config = dataclasses.replace(EXACT, shard_size=100)
    make(tree, model_path, tmp_path / "whole", config)
    (tree / "AFW/AFW_00.jpg").unlink()
    (tree / "AFW/AFW_07.mat").write_bytes(b"text")
    image = (tree / "AFW/AFW_11.jpg").read_bytes()
    (tree / "AFW/AFW_11.jpg").write_bytes(image[: len(image) // 2])
    result = make(tree, model_path, tmp_path / "damaged", config)
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_00", "AFW/AFW_07", "AFW/AFW_11"]
    assert (result.samples, result.new_samples) == (15, 15)
    expected, found = by_name(tmp_path / "whole"), by_name(tmp_path / "damaged")
    assert found.keys() == expected.keys() - {skip.name for skip in result.skipped}
    for name in found:
        assert_equal_samples(found[name], expected[name])
    listed = json.loads((tmp_path / "damaged/dataset.json").read_text(encoding="utf-8"))["skipped"]
    assert listed == [dataclasses.asdict(skip) for skip in result.skipped]


def test_build_of_subsets_whose_shards_would_be_one_file_is_refused(
    model_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second shard would replace the first, and the index list both."""
    if folds_case(tmp_path):
        pytest.skip("this disk has no such folders")
    for number, subset in enumerate(("AFW", "afw", "IBUG")):
        write_sample(tmp_path / "data" / subset, f"face_{number}", number)
    out, config = tmp_path / "out", dataclasses.replace(SMALL, shard_size=1)
    for subset in ("AFW", "afw"):
        build_shards(tmp_path / "data", tmp_path / subset, model=model_path, config=config, subsets=[subset])
    with monkeypatch.context() as patch:
        patch.setattr(make_shards, "folds_case", lambda _: True)
        with pytest.raises(OutputError, match=r"out: AFW-00000\.h5 and afw-00000\.h5 would be one file, as its disk"):
            make(tmp_path / "data", model_path, out, config)
        with pytest.raises(OutputError, match=r"out: AFW-00000\.h5 and afw-00000\.h5 would be one file, as its disk"):
            merge_shards([tmp_path / "AFW", tmp_path / "afw"], out)
        assert not out.exists()
        assert build_shards(tmp_path / "data", out, model=model_path, config=config, subsets=["AFW"]).samples == 1
    assert make(tmp_path / "data", model_path, tmp_path / "here", config).samples == 3


def test_build_of_bad_parameters_alone_ends_before_any_work(tree: Path, model_path: Path, tmp_path: Path) -> None:
    for path in tree.rglob("*.mat"):
        path.unlink()
    with pytest.raises(DatasetError, match=r"none of 9 samples can be used; the first, .*AFW_000_1_0.jpg: no \.mat"):
        make(tree, model_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_build_whose_samples_all_turn_out_bad_ends_with_an_error_and_names_them_in_the_index(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    """Faces that leave their images pass the first look, which reads no more than parameters and images."""
    for k, path in enumerate(sorted(tree.rglob("*.mat"))):
        write_sample(path.parent, path.stem, k, Pose_Para=np.array([[0, 0, 0, -300, 60, -20, 4.5e-4]]))
    with pytest.raises(
        DatasetError, match=r"none of 9 samples can be used; the first, AFW/AFW_000_1_0: .*lies outside"
    ):
        make(tree, model_path, tmp_path / "out")
    assert list(file_hashes(tmp_path / "out")) == ["constants.npz", "dataset.json"]
    assert len(Index.read(tmp_path / "out").skipped) == 9
    reader = open_shards(tmp_path / "out")
    assert len(reader) == 0 and list(reader) == [] and reader.names == []
    (problem,) = verify_shards(tmp_path / "out", model=load_model(model_path)).problems
    assert "holds no samples, all 9 were skipped, first" in problem


def test_build_on_error_fail_keeps_what_an_earlier_run_has_skipped(
    tree: Path, model_path: Path, tmp_path: Path
) -> None:
    (tree / "IBUG/IBUG_001_1_0.mat").write_bytes(b"text")
    skipped = make(tree, model_path, tmp_path / "out").skipped
    result = make(tree, model_path, tmp_path / "out", on_error="fail")
    assert result.skipped == skipped and len(skipped) == 1 and not result.new_samples


@pytest.mark.parametrize("workers", [1, 2])
def test_build_on_error_fail_ends_with_that_error(tree: Path, model_path: Path, tmp_path: Path, workers: int) -> None:
    (tree / "IBUG/IBUG_001_1_0.mat").write_bytes(b"text")
    with pytest.raises(SampleError, match=r"IBUG_001_1_0\.mat: not a readable MATLAB file"):
        make(tree, model_path, tmp_path / "out", on_error="fail", run=RunOptions(workers))
    left = set(file_hashes(tmp_path / "out"))
    assert "IBUG-00000.h5" not in left
    if workers == 1:  # another worker, stopped in the middle of its shard, leaves that to the next run to remove
        assert not {name for name in left if name.startswith(".")}  # neither half a shard nor a lock
        assert {"AFW-00000.h5", "AFW-00001.h5", "dataset.json"} <= left


@pytest.fixture
def stretchable(tmp_path: Path) -> Path:
    """A model whose last shape component moves a corner of the patch alone, far from all landmarks."""
    model = toy_model()
    basis = model.basis.copy()
    basis[:, :, N_SHAPE - 1] = 0
    basis[:3, 0, N_SHAPE - 1] = 1
    arrays = {f.name: getattr(model, f.name) for f in dataclasses.fields(model)}
    save_model(make_model(source="toy", **arrays | {"basis": basis}), tmp_path / "stretchable.h5")
    return tmp_path / "stretchable.h5"


def test_build_uint16_value_out_of_range_is_an_error_and_float32_takes_it(stretchable: Path, tmp_path: Path) -> None:
    for k, last in enumerate((0, 2e6, 0)):
        shape = parameters(k)["Shape_Para"]
        shape[-1] = last
        write_sample(tmp_path / "data/AFW", f"AFW_{k}", seed=k, Shape_Para=shape)
    result = make(tmp_path / "data", stretchable, tmp_path / "fixed")
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_1"]
    assert "AFW_1.mat" in result.skipped[0].reason and "store maps as float32" in result.skipped[0].reason
    assert open_shards(tmp_path / "fixed").names == ["AFW/AFW_0", "AFW/AFW_2"]

    exact = make(tmp_path / "data", stretchable, tmp_path / "exact", EXACT)
    assert not exact.skipped
    values = by_name(tmp_path / "exact", "posmap")["AFW/AFW_1"]["posmap"]
    assert values.max() > 2.5 * SMALL.size  # beyond the range of the codes, and not cut


@pytest.mark.parametrize(
    ("key", "dtype"),
    [
        ("Shape_Para", "uint16"),
        pytest.param("Exp_Para", "uint16", marks=pytest.mark.slow),
        pytest.param("Pose_Para", "uint16", marks=pytest.mark.slow),
        ("Pose_Para", "float32"),
    ],
)
def test_build_parameters_beyond_float32_are_an_error(
    tree: Path, model_path: Path, tmp_path: Path, key: str, dtype: str
) -> None:
    """Finite in the file, infinite as float32: no such number may reach a shard."""
    values = parameters(1)[key].astype(np.float64)
    values.flat[-1] = 1e39
    write_sample(tree / "AFW", "AFW_001_1_0", seed=1, **{key: values})
    result = make(tree, model_path, tmp_path / "out", dataclasses.replace(SMALL, posmap_dtype=dtype))
    assert [skip.name for skip in result.skipped] == ["AFW/AFW_001_1_0"]
    assert "AFW_001_1_0" in result.skipped[0].reason
    for field in ("shape", "expression", "pose", "image_to_crop", "landmarks", "posmap"):
        assert np.isfinite(open_shards(tmp_path / "out")[:][field]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"size": 0}, {"uv_size": 5000}, {"shard_size": 0}, {"jitter": 1.0}, {"jitter": -0.1}, {"jitter": np.nan},
        {"posmap_dtype": "float16"}, {"compression": "zip"}, {"convention": "prnet"},
    ],
    ids=str,
)  # fmt: skip
def test_build_config_out_of_range_is_refused(
    data: Path, model_path: Path, tmp_path: Path, change: dict[str, Any]
) -> None:
    (key,) = change
    with pytest.raises(InputError, match=key):
        make(data, model_path, tmp_path / "out", BuildConfig(**dataclasses.asdict(SMALL) | change))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [{"run": 8}, {"on_error": "ignore"}], ids=str)
def test_build_option_out_of_range_is_refused(
    data: Path, model_path: Path, tmp_path: Path, option: dict[str, Any]
) -> None:
    (key,) = option
    with pytest.raises(InputError, match=key):
        make(data, model_path, tmp_path / "out", **option)


def test_build_of_two_folders_whose_shards_would_be_one_file_is_refused(model_path: Path, tmp_path: Path) -> None:
    """Shards of a hidden folder have a name that another folder may have."""
    rows = []
    for number, folder in enumerate((".cache", shard_stem(".cache"))):
        write_sample(tmp_path / folder, "a", number)
        rows.append({"image": f"{folder}/a.jpg", "parameters": f"{folder}/a.mat"})
    (tmp_path / "list.json").write_text(json.dumps(rows))
    with pytest.raises(OutputError, match=r"out: .*\.cache~\w{8}-00000\.h5 would be a shard of two folders of samples"):
        make(tmp_path / "list.json", model_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
