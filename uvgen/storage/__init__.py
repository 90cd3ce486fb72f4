"""Files and folders that are whole or not there: written under a temporary name, renamed, locked, hashed.

It stands on `errors` alone. A store of another kind is a file beside `files.py` with the same functions.
"""
