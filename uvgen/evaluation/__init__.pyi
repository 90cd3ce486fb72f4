from .accumulate import Evaluation, EvaluationResult
from .alignment import Similarity, align_by_icp, align_points
from .evaluate import EvaluationReport, evaluate_predictions
from .faces import Faces
from .output import write_evaluation
from .predictions import Reading
from .scores import SCORES, Score
from .submissions import write_dad3dheads, write_realy
from .summary import Draws, Summary, YawBin, summarize

__all__ = [
    "SCORES",
    "Draws",
    "Evaluation",
    "EvaluationReport",
    "EvaluationResult",
    "Faces",
    "Reading",
    "Score",
    "Similarity",
    "Summary",
    "YawBin",
    "align_by_icp",
    "align_points",
    "evaluate_predictions",
    "summarize",
    "write_dad3dheads",
    "write_evaluation",
    "write_realy",
]
