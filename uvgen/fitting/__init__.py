"""Parameters of a face model from photographs: landmarks found or read, and the model fitted to them.

It stands on `maps`, `models` and `samples`. `detectors/` finds faces with other packages, each optional.
"""
