"""Data sets in the layouts of other trainers, one file per target.

A target is an entry of `EXPORT_TARGETS` in `targets.py`, which says what it needs and has, and a module with three
functions:

- `key(name)` names the files of a sample, or gives the name itself if samples get no files of their own;
- `write(reader, part, folder, quality)` writes the samples of one shard, and returns those that it leaves out, or None;
- `finish(reader, folder)` writes the files that exist once per data set, for the samples that were written.

`write` and `finish` get the arguments that the target needs, and its options, as keywords. `run.py` runs an export.
"""
