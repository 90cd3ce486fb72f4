"""Data sets in the layouts of other trainers, one file per target.

A target is a module that `run.py` lists, with three functions:

- `key(name)` names the files of a sample, or gives the name itself if samples get no files of their own;
- `write(reader, part, folder, quality)` writes the samples of one shard, and returns those that it leaves out, or None;
- `finish(reader, folder)` writes the files that exist once per data set, for the samples that were written.

What else a target may have:

| name | says or does |
| --- | --- |
| `NEEDS` | arguments of an export that it cannot do without, such as "model", and what for |
| `OPTIONS` | further arguments with their values, the default first |
| `HAS_MAPS = False` | it writes no position maps, so the set need not store them |
| `HAS_JPEG = False` | it writes no JPEG files |
| `HAS_PIXELS = True` | it has a place for per-pixel targets (``uvgen build --targets``); of others, an export says so |
| `WHOLE = True` | it takes all samples of a set, and cannot have some of them |
| `RESERVED` | keys that no sample may have |
| `OWN_FILES` | files of the export's own, beside folders of samples, which may not have their names |
| `ENDINGS` | suffixes of files: a folder of samples may not have the name of such a file |
| `check_packages()` | raises DependencyError if a package is missing that uvgen does not install |
| `check_set(reader, out)` | raises what is wrong with the set or the folder before any work |
| `clean(reader, folder)` | removes, once the export is complete, what `finish` needs again where it was interrupted |

`write`, `finish` and `check_set` get the arguments of `NEEDS` and `OPTIONS` as keywords.
"""
