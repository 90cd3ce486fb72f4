"""Predictions against the truth, by the field's definitions: what `uvgen evaluate` and a training loop's validation do.

| file | holds |
| --- | --- |
| `predictions.py` | reading predictions: a folder of files, one file, shards; scales and pixel conventions |
| `prediction_files.py` | which files are predictions, and for which faces |
| `truth.py` | reading the truth: shards, AFLW2000-3D's folder, 3DDFA's benchmark |
| `faces.py` | what scores compare: landmarks and maps of a batch |
| `scores.py`, `shape_scores.py` | the scores, each with its subset, box and alignment; add one to `SCORES` |
| `alignment.py` | the similarity between two point sets, with correspondences or without (ICP) |
| `accumulate.py` | `Evaluation`: batches go in, scores of all faces come out |
| `summary.py` | means over faces: plain, by yaw, over balanced draws |
| `doubts.py` | mirrored, shifted, scaled and shuffled predictions are recognized |
| `evaluate.py` | all of it together; `protocols.py` says which scores a published table has |
| `tables.py`, `curve.py` | Markdown, CSV; the curve of cumulative errors |
| `network.py`, `predict*.py` | ONNX networks run on photographs: `uvgen predict` |
| `submissions.py` | the files that DAD-3DHeads' and REALY's benchmarks take |

It builds on `datasets` and `fitting`; `preview`, `report` and `torch` may import it. PyTorch is not imported.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
