"""Calling the same function in many worker processes.

It builds on `interrupts`. `workers.py` starts processes and gives them work, `child.py` is what runs in them.
"""
