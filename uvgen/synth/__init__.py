"""Synthetic faces with exact labels, as a folder that looks like 300W-LP's.

`folder.py` plans and makes the folder as `options.py` has it, `names.py` names faces, `worker.py` writes samples,
`faces.py` draws parameters, `portrait.py` paints, `scene.py` holds backdrops, light and camera, `mannequin.py` clothes
and hair, `sample_set.py` the built-in set. It builds on `maps` and `jobs`. Something else that varies from face to face
is a field of `FaceParameters`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
