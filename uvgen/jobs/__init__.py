"""Tasks on any number of processes, made once, whole, and found again by the next run.

It stands on `storage` and `parallel` and knows nothing of shards. A new job is a value with `open()`, and a record of
what is finished: see `Job` and `Record` in `run.py`.
"""
