"""Scans to meshes of a model's topology: what `uvgen register` does.

`folder` is the job, `worker` one process's share, and `record` is `register.json`. `registration` moves the vertices
of a `template`, a morphable model prepared for it, onto a scan; it begins with the model's coefficients, which `fit`
finds. `pictures` finds landmarks with a face detector on drawings of the scan.
"""
