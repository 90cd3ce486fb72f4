"""Tasks on any number of processes: each is done once and completely, and the next run finds what is finished.

It builds on `storage` and `parallel` and contains nothing about shards. A new job is a value with `open()`, and a
record of what is finished: see `Job` and `Record` in `run.py`.
"""
