"""The same function on many workers.

It stands on `interrupts`. Another backend is a file beside `workers.py` with a function like `run_on_workers`.
"""
