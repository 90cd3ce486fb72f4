"""Parameters of a face model from photographs: landmarks found or read, and the model fitted to them.

`landmarks` fits the model, `refine` brings it closer to the photograph, `contour` knows where faces end in pictures,
`doubts` what is wrong with landmarks that no face fits; `folder` and `worker` fit a folder of photographs; `detectors/`
finds faces with other packages, each optional. The room stands on `maps`, `models`, `samples` and `rasterize`.
"""
