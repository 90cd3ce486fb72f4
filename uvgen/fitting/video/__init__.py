"""Videos to samples, one for each frame: what `uvgen fit --video` does.

`folder` is the job. `find` lists the videos, `frames` reads their frames, `linking` finds the cuts, and `tracks` fits
one person's frames between two cuts with one shape and smooth motion. `worker` is one process's share, `record` is
`fit.json`; `state` notices that a video or its landmarks changed, and `files` hides the folder of a video's frames
until it is complete. The landmarks of a frame come from the same worker as those of photographs.
"""
