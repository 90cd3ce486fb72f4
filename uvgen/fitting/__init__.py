"""Parameters of a face model from photographs: landmarks found or read, and the model fitted to them.

`landmarks` fits the model, `contour` knows where faces end in pictures, `folder` does it for a folder of photographs, and
`detectors/` finds faces with other packages, each optional. It stands on `maps`, `models` and `samples`.
"""
