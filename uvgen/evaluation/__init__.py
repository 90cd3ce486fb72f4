"""What networks predict: run on photographs (`predict.py`, with `network.py` and `predict_record.py`).

It stands on `datasets` and `fitting`. What is drawn comes from the caller: `preview` stands above.
"""
