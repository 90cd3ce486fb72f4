"""Parameters of a face model from photographs: landmarks found or read, and the model fitted to them.

`landmarks` says what is sought and `fitter` finds it; `refine` brings a face closer to its photograph, `contour` knows
where faces end in pictures, `doubts` what is wrong with landmarks that no face fits. `folder` fits a folder of
photographs: `photographs` lists them, `worker` is one process's share, `record` is `fit.json`. `video` fits videos:
`videos` lists them, `frames` reads their frames, `linking` finds the cuts, `tracks` fits what is between them,
`video_worker` and `video_record` are as for photographs, `video_state` and `video_files` hold what these share.
`detectors/` finds faces with other packages, each optional. It builds on `maps`, `models`, `samples` and
`rasterize`.
"""
