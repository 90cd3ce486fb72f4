"""Data sets in the layouts of other trainers, one file per target.

A target that needs a package that uvgen does not has `check()`, which raises if it is missing; `HAS_MAPS = False`
says that it writes no maps, `HAS_JPEG = False` that it writes no JPEG files, `WHOLE = True` that it cannot have some
samples of a set alone.

A target is a module with `key(name)`, which names the files of a sample; `write(reader, part, folder, quality)`, which
writes the samples of one shard and returns those that it leaves out (or None); and `finish(reader, folder)`, which
writes the files that exist once per data set, for the samples that were written. `run.py` lists them.

A target may have `NEEDS`, arguments of an export that it cannot do without, such as "model", and what for; and
`OPTIONS`, further ones with their values, the default first. `write` and `finish` get both as keywords. `HAS_MAPS =
False` says that it writes no position maps; then the set need not store them. `HAS_PIXELS = True` says that it has a
place for per-pixel targets (``uvgen build --targets``); of others, an export says that they are left out.
`clean(reader, folder)` removes
what `finish` needs again where it was interrupted. `check_set(reader, out)` raises what is wrong before any work.
"""
