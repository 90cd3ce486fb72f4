"""Data sets in the layouts of other trainers, one file per target.

A target that needs a package that uvgen does not has `check()`, which raises where it is missing; `HAS_MAPS = False`
says that it writes no maps, `WHOLE = True` that it cannot have some samples of a set alone.

A target is a module with `key(name)`, which names the files of a sample; `write(reader, part, folder, quality)`, which
writes the samples of one shard; and `finish(reader, folder)`, which writes the files that exist once per data
set. `run.py` lists them.
"""
