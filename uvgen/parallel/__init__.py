"""The same function on many workers.

It stands on `interrupts`. `workers.py` starts processes and gives them work, `child.py` is what runs in them.
"""
