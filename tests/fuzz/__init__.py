"""Damaged files for every reader: `make fuzz N=100000`.

`readers.py` has the one table of readers; a new one is a line there. `mutators.py` damages files, `run.py` runs
readers in child processes that may crash, and `corpus/READER/` has small files that were once read wrongly, which a
test reads again.
"""
