"""Parameters of 300W-LP as Deep3DFaceRecon's, on a model whose expressions both bases have, and on others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io as sio
from support.formats import kept_vertices, write_deep3d_parts
from support.toy import toy_model

from uvgen import load_model
from uvgen.errors import InputError
from uvgen.models.conversions import deep3d_of_300wlp
from uvgen.models.morphable import MorphableModel


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[MorphableModel, MorphableModel]:
    return toy_model(), load_model(write_deep3d_parts(tmp_path_factory.mktemp("parts"), toy_model()))


def vertices(model: MorphableModel, shape: np.ndarray, expression: np.ndarray) -> np.ndarray:
    return model.mean + np.einsum("nck,bk->bnc", model.basis.astype(float), np.c_[shape, expression])


def test_deep3d_of_300wlp_is_the_same_face_where_both_bases_have_it(models) -> None:
    bfm, deep3d = models
    rng, kept = np.random.default_rng(0), kept_vertices()
    shape, expression = rng.normal(size=(3, 10)) * 3e5, rng.normal(size=(3, 5))
    found = deep3d_of_300wlp(shape, expression, bfm, deep3d, kept)
    np.testing.assert_allclose(found.identity, shape / bfm.shape_std, rtol=1e-6)
    again = vertices(deep3d, found.identity, found.expression) + found.offset_um[:, None]
    np.testing.assert_allclose(again, vertices(bfm, shape, expression)[:, kept], atol=2)  # µm of 1e5, float32
    assert found.residual_um.max() < 1


def test_deep3d_of_300wlp_of_what_its_bases_lack_is_the_nearest(models) -> None:
    bfm, deep3d = models
    rng, kept = np.random.default_rng(1), kept_vertices()
    fewer = replace(
        deep3d, basis=np.concatenate([deep3d.shape_basis[..., :6], deep3d.expression_basis[..., :3]], axis=2),
        shape_std=deep3d.shape_std[:6], expression_std=deep3d.expression_std[:3],
    )  # fmt: skip
    shape, expression = rng.normal(size=(2, 10)) * 3e5, rng.normal(size=(2, 5))
    found = deep3d_of_300wlp(shape, expression, bfm, fewer, kept)
    truth = vertices(bfm, shape, expression)[:, kept]

    def distance(expressions: np.ndarray, offset: np.ndarray) -> np.ndarray:
        away = vertices(fewer, found.identity, expressions) + offset[:, None] - truth
        return np.sqrt((away**2).sum(axis=2).mean(axis=1))

    np.testing.assert_allclose(found.residual_um, distance(found.expression, found.offset_um), rtol=1e-4)
    without = shape.copy()
    without[:, 6:] = 0  # what identities cannot express is no matter of expressions
    np.testing.assert_allclose(
        deep3d_of_300wlp(without, expression, bfm, fewer, kept).expression, found.expression, rtol=1e-9
    )
    smaller = deep3d_of_300wlp(without, expression, bfm, fewer, kept)
    truth = vertices(bfm, without, expression)[:, kept]
    for _ in range(20):
        other = distance(
            smaller.expression + 0.01 * rng.normal(size=(2, 3)), smaller.offset_um + 10 * rng.normal(size=(2, 3))
        )
        assert (other > smaller.residual_um).all()


def test_deep3d_of_300wlp_of_a_model_without_identities_fits_expressions(models) -> None:
    bfm, deep3d = models
    none = replace(deep3d, basis=deep3d.expression_basis, shape_std=deep3d.shape_std[:0])
    expression = np.random.default_rng(2).normal(size=(2, 5))
    found = deep3d_of_300wlp(np.zeros((2, 10)), expression, bfm, none, kept_vertices())
    assert found.identity.shape == (2, 0) and found.residual_um.max() < 1


def test_deep3d_of_300wlp_with_what_does_not_fit_is_refused(models) -> None:
    bfm, deep3d = models
    kept, shape, expression = kept_vertices(), np.zeros((1, 10)), np.zeros((1, 5))
    for arguments, message in (
        ((shape[:, 1:], expression, bfm, deep3d, kept), r"shape: float64 \(1, 9\), expected \(B, 10\)"),
        ((shape, expression * np.nan, bfm, deep3d, kept), "expression: holds NaN or infinity"),
        ((shape, expression, bfm, deep3d, kept[1:]), r"kept: float64 \(1368,\), expected \(1369,\)"),
        ((shape, expression, bfm, deep3d, kept + 0.5), "kept: holds numbers that are not whole"),
        ((shape, expression, bfm, deep3d, np.r_[np.nan, kept[1:]]), "kept: holds NaN or infinity"),
        ((shape, expression, bfm, deep3d, kept + 999), r"kept: 1081 to 2597|kept: .* expected 0 to 1680"),
        ((shape, expression, bfm, deep3d, kept[::-1]), "deep3d: its identities are other components than those of toy"),
    ):
        with pytest.raises(InputError, match=message):
            deep3d_of_300wlp(*arguments)


@pytest.mark.slow
@pytest.mark.long
def test_deep3d_of_300wlp_on_the_stand_in_keeps_the_identity(stand_in: Path, stand_in_model: MorphableModel) -> None:
    deep3d = load_model(stand_in / "deep3d/BFM_model_front.mat")
    front = sio.loadmat(stand_in / "deep3d/BFM_front_idx.mat")["idx"].ravel().astype(int) - 1
    shape = np.zeros((1, 199))
    shape[0, :80] = stand_in_model.shape_std[:80] * np.linspace(1, -1, 80)
    found = deep3d_of_300wlp(shape, np.zeros((1, 29)), stand_in_model, deep3d, front)
    np.testing.assert_allclose(found.identity[0], np.linspace(1, -1, 80), atol=1e-6)
    away = deep3d.basis @ np.concatenate([found.identity, found.expression], axis=1)[0].astype(np.float32) + deep3d.mean
    truth = stand_in_model.mean[front] + (stand_in_model.shape_basis[front] @ shape[0].astype(np.float32))
    rms = np.sqrt(((away + found.offset_um[0] - truth) ** 2).sum(axis=1).mean())
    assert rms == pytest.approx(found.residual_um[0], rel=0.01) and rms < 4000  # µm: the mean expression, fitted
