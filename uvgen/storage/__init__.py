"""Files and folders that are whole or not there: written under a temporary name, renamed, locked, hashed.

`text.py` reads text of any editor, `kinds.py` names files by their content, for errors. It stands on `errors` alone.
A store of another kind is a file beside `files.py` with the same functions.
"""
