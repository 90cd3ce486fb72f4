"""The jobs: everything from samples to a finished folder of shards, and what is done with such folders.

It builds on `shards`, `maps`, `augment` and `jobs`. A job is a file with its public function (`build.py`,
`augmented.py`, `verify.py`); what each process of it does lies beside it (`worker.py`). `quality/` compares labels
with annotations; an export target is `export/NAME.py`.
"""
