"""The Basel Face Models of 2017 and 2019."""

import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from support.other_models import patch, write_statismo

from uvgen.errors import ModelError
from uvgen.models.formats import statismo


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (3, 2), "compression": "gzip"}, {"compression": "gzip", "shuffle": True}]
)
def test_read_of_a_statismo_file_scales_its_components_to_standard_deviations(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "model2017-1_bfm_nomouth.h5"
    content = write_statismo(path, **options)
    assert statismo.recognizes(path)
    model = statismo.read(path)
    rng = np.random.default_rng(0)
    shape, expression, color = (rng.normal(size=k) for k in (6, 4, 5))

    def evaluated(group: str, weights: np.ndarray) -> np.ndarray:
        """As statismo does, one component after the other, mm or 0 to 1."""
        values = content[f"{group}/model/mean"].astype(np.float64)
        for k, weight in enumerate(weights):
            std = float(content[f"{group}/model/pcaVariance"][k]) ** 0.5
            values = values + weight * std * content[f"{group}/model/pcaBasis"][:, k]
        return values.reshape(-1, 3)

    found = model.mean + model.shape_basis @ shape + model.expression_basis @ expression
    # float32 bases of about 1e4 µm
    np.testing.assert_allclose(
        found, 1000 * (evaluated("shape", shape) + evaluated("expression", expression)), atol=0.02
    )
    assert model.albedo_mean is not None and model.albedo_basis is not None and model.albedo_std is not None
    np.testing.assert_allclose(
        model.albedo_mean + model.albedo_basis @ color, 255 * evaluated("color", color), atol=1e-3
    )
    np.testing.assert_array_equal(model.triangles, patch()[1])
    for std, k in ((model.shape_std, 6), (model.expression_std, 4), (model.albedo_std, 5)):
        np.testing.assert_array_equal(std, np.ones(k))
    assert model.uv is None and model.landmarks is None and list(model.sources) == [path.name]


def test_read_of_a_statismo_file_of_shapes_alone_has_no_expressions(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_statismo(path)
    with h5py.File(path, "r+") as file:
        del file["expression"], file["color"]
    model = statismo.read(path)
    assert model.expression_basis.shape == (81, 3, 0) and model.albedo_mean is None


def test_read_takes_columns_for_vectors_and_doubles(tmp_path: Path) -> None:
    write_statismo(tmp_path / "a.h5")
    write_statismo(tmp_path / "b.h5")
    with h5py.File(tmp_path / "b.h5", "r+") as file:
        for name in ("shape/model/mean", "shape/model/pcaVariance"):
            put(name, file[name][()][:, None].astype(">f8"))(file)
    plain, columns = (statismo.read(tmp_path / name) for name in ("a.h5", "b.h5"))
    np.testing.assert_array_equal(plain.mean, columns.mean)
    np.testing.assert_array_equal(plain.shape_basis, columns.shape_basis)


def put(name: str, values: object) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        if values is not None:
            file[name] = values

    return change


BAD: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no mean": (put("shape/model/mean", None), "no dataset mean"),
    "no triangles": (put("shape/representer/cells", None), "no dataset cells"),
    "no representer": (put("shape/representer", None), "no dataset representer"),
    "mean of another length": (put("shape/model/mean", np.zeros(80)), "mean has 80 numbers, expected three a vertex"),
    "mean that is empty": (put("shape/model/mean", np.zeros(0)), r"mean has 0 numbers|mean .*was never written"),
    "expressions of another mesh": (
        put("expression/model/mean", np.zeros(9)),
        "expression/model/mean has 9 numbers, expected 243, as shape/model/mean has",
    ),
    "basis of other components": (
        put("shape/model/pcaBasis", np.zeros((243, 7))), r"float64 \(243, 7\), expected numbers \(243, 6\)"
    ),
    "basis of texts": (put("shape/model/pcaBasis", np.zeros((243, 6), "S3")), r"pcaBasis holds \|S3"),
    "basis times standard deviations": (
        put("color/model/pcaBasis", np.full((243, 5), 2.0)), "color/model/pcaBasis has a column 31.18 long, expected"
    ),
    "negative variance": (put("shape/model/pcaVariance", np.full(6, -1.0)), "expected variances"),
    "variances in a matrix": (put("shape/model/pcaVariance", np.ones((2, 3))), r"\(2, 3\), expected a row or column"),
    "many components": (put("shape/model/pcaVariance", np.ones(5000)), "5000 numbers, expected 4096 at most"),
    "triangles of other vertices": (
        put("shape/representer/cells", np.full((3, 5), 81)), "cells names vertices 81 to 81, expected 0 to 80"
    ),
    "triangles of floats": (put("shape/representer/cells", np.zeros((3, 5))), "expected whole numbers"),
    "expressions in another order": (
        lambda file: put("expression/representer/cells", file["shape/representer/cells"][()] * 7 % 81)(file),
        "expression/representer/cells join other vertices than shape/representer/cells do",
    ),
    "colors from 0 to 255": (
        lambda file: put("color/model/mean", 255 * file["color/model/mean"][()])(file), "colors of 20.*expected 0 to 1"
    ),
    "a link": (put("shape/model/mean", h5py.ExternalLink("b.h5", "x")), "mean is a link .external"),
    "mean of texts of any length": (put("shape/model/mean", "a"), "mean is text of variable length"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_read_of_a_bad_statismo_file_names_what_is_wrong(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.h5"
    write_statismo(path)
    change, message = BAD[kind]
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ModelError, match=rf"a\.h5: .*({message})"):
        statismo.read(path)


def test_read_of_a_statismo_file_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_statismo(path)
    path.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(ModelError, match=r"a\.h5: .*(truncated|cannot be read)"):
        statismo.read(path)
    assert not statismo.recognizes(path)


def test_recognizes_no_other_file(tmp_path: Path, model_path: Path) -> None:
    (tmp_path / "a.h5").write_text("v 0 0 0")
    for path in (model_path, tmp_path, tmp_path / "a.h5", tmp_path / "none"):
        assert not statismo.recognizes(path)


@pytest.mark.parametrize("name", ["shape/model/pcaBasis", "color/model/mean", "expression/representer/cells"])
def test_read_of_a_statismo_file_that_inflates_is_refused_before_it_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.h5"
    write_statismo(path)
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, (200, 1 << 20), np.int8, chunks=(1, 1 << 20), compression="gzip", fillvalue=0)
        zeros = zlib.compress(bytes(1 << 20))
        for row in range(200):
            file[name].id.write_direct_chunk((row, 0), zeros)
    with pytest.raises(ModelError, match=r"a\.h5: has arrays of 8\d{8} bytes unpacked, expected \d+ at most"):
        statismo.read(path)
