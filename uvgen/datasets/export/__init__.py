"""Data sets in the layouts of other trainers, one file per target.

A target is a module with `key(name)`, which names the files of a sample; `write(reader, part, folder, quality)`, which
writes the samples of one shard; and `finish(reader, folder)`, which writes the files that exist once per data
set. `run.py` lists them.
"""
