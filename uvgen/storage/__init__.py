"""Files (`files.py`) and folders (`drafts.py`) that are whole or not there: under a temporary name, renamed, hashed.

What others wrote is read within bounds, and can be refused but do no harm: `reading.py` opens whole files, `text.py`
decodes text of any editor, `plain_json.py`, `npy.py`, `matfile.py` and `pickles.py` take apart what is in them, and
`names.py` keeps names on one line and in their folder. `kinds.py` names files by their content, for errors;
`contents.py` deletes what is in a folder, and nothing behind links. A new reader goes into the table of
`tests/fuzz/readers.py`.

`urls.py` says which path stands for a URL of an object store; `objects.py` reads and writes the stores by fsspec,
whichever they are. This room builds on `errors`, `wording` and `compiled`.
"""
