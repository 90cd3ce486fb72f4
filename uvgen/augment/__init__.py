"""Augmentation with exact labels: what may be done to a sample, and applying it.

    augmentation = Augmentation.preset("prnet")
    draw = augmentation.draw(seed=0, name=sample["name"], epoch=3)
    image, position_map, landmarks = apply(draw, sample["image"], sample["posmap"], sample["landmarks"])

It builds on `maps`. Another augmentation is a field in `values.py` with its place in the row of random numbers, its
number in `draws.py`, and its effect in `sample.py` or `colors.py`; `profile.py` turns faces of photographs. Names load
on first use: `values` needs only numpy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
