"""What is wrong with a machine, a data set, a folder of samples or a model: what `uvgen doctor` finds.

`checks.py` lists every check with a stable code, its cause and its cure; `machine.py`, `shards.py`, `samples.py` and
`models.py` look for them; `diagnose.py` is the function that people call. A new check is one more entry of the list,
the line that finds it, and a test that makes it happen; docs/doctor.md is written from the list.
"""
