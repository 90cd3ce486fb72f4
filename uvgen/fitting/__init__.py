"""Parameters of a face model from photographs, videos and scans: landmarks found or read, and the model fitted to them.

`landmarks` says what is sought and `fitter` finds it; `refine` brings a face closer to its photograph, `contour` knows
where faces end in pictures, `doubts` what is wrong with landmarks that no face fits. `folder` fits a folder of
photographs by its `options`: `photographs` lists them, `sources` says where their landmarks come from, `tasks` has what
is worked on, `worker` is one process's share, `record` is `fit.json`. `video/` fits the frames of videos, `scans/`
registers scans to a model's topology, and `detectors/` finds faces with other packages, each optional. It builds on
`maps`, `models`, `samples` and `rasterize`.
"""
