"""What draws the targets of a data set's samples, if it has some."""

from uvgen.datasets.config import BuildConfig
from uvgen.errors import InputError
from uvgen.maps.targets import TargetMaker
from uvgen.models.morphable import MorphableModel


def target_maker(model: MorphableModel | None, config: BuildConfig) -> TargetMaker | None:
    """Of a set of this configuration; None if it has no targets.

    Raises InputError if there is no model to make them with, and ModelError if it lacks what a target shows.
    """
    if not config.targets:
        return None
    if model is None:
        raise InputError(
            f"targets: the set has {', '.join(config.targets)}, which are made again from the parameters when samples "
            "move; give the set's model"
        )
    return TargetMaker(
        model, config.targets, crop_size=config.size, uv_size=config.uv_size, convention=config.convention
    )


def remaking_targets(model: MorphableModel | None, config: BuildConfig) -> TargetMaker | None:
    """As `target_maker`, for samples of a finished set that move; InputError if they have no parameters."""
    if config.targets and not config.has_parameters:
        raise InputError(
            f"targets: the set has {', '.join(config.targets)}, drawn of meshes, which it does not hold, expected one "
            "without them; augment while the meshes are read: `uvgen build --meshes … --augment`"
        )
    return target_maker(model, config)
