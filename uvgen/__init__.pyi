from .augment.draws import AugmentationDraw
from .augment.files import read_augmentation
from .augment.values import Augmentation
from .cameras import ImageCamera
from .datasets.augmented import augment_shards
from .datasets.build import build_shards
from .datasets.config import BuildConfig, DatasetConfig
from .datasets.export.run import ExportResult, export_shards
from .datasets.from_meshes import import_meshes
from .datasets.imported import import_maps
from .datasets.info import DatasetInfo, describe_shards
from .datasets.make_shards import BuildResult
from .datasets.map_options import MapOptions
from .datasets.merge import merge_shards
from .datasets.open import open_shards
from .datasets.prepare import PreparedFaces, prepare_deep3d
from .datasets.record import ShardResult
from .datasets.repair import RepairResult, repair_shards
from .datasets.selection import Criteria, select_names
from .datasets.split_files import Split
from .datasets.splits import SplitResult, group_samples, split_shards
from .datasets.verify import VerifyResult, verify_shards
from .doctor.checks import Finding
from .doctor.diagnose import Diagnosis, diagnose
from .errors import UvgenError
from .evaluation.evaluate import EvaluationReport, evaluate_predictions
from .evaluation.network import NetworkOptions
from .evaluation.predict import PredictResult, predict_photographs
from .evaluation.predict_options import PredictOptions
from .fitting.detectors import FaceDetector
from .fitting.folder import FitResult, fit_photographs
from .fitting.landmarks import LandmarkFit, fit_landmarks
from .fitting.options import FitOptions, VideoOptions
from .fitting.scans.folder import RegisterResult, register_scans
from .fitting.scans.options import RegisterOptions
from .fitting.scans.registration import Registration, register_scan
from .fitting.video.folder import VideoResult, fit_video
from .geometry import AFLW_MIRROR, LANDMARK_MIRROR, crop_to_image
from .images.align5 import crop_from_points5
from .images.crop import crop_from_box, crop_from_landmarks, crop_similarity
from .images.warp import warp_image
from .jobs.cluster import running_on
from .jobs.options import RunOptions
from .maps.aflw import aflw_texels, aflw_uv
from .maps.atlas import UvAtlas, build_atlas
from .maps.landmarks import LandmarkWeights, landmark_texels, landmark_weights, read_landmarks
from .maps.masks import face_mask, weight_mask
from .maps.mirror import TexelMirror
from .maps.position_mapper import PositionMapper
from .maps.readings import HeadPose, map_to_landmarks, map_to_mesh, map_to_pose
from .maps.resample import resample_model
from .meshes.transfer import transfer_expressions
from .meshes.tutte import parameterize
from .models.convert import BaselFiles, ConvertResult, convert_model
from .models.load import load_model
from .models.model_file import save_model
from .models.morphable import MorphableModel
from .models.supplements import Supplements
from .normalization import Normalization, denormalize
from .preview.alignment import alignment_gif, draw_alignment
from .preview.page import PreviewResult, contact_sheet, render_preview
from .preview.predictions import render_predictions
from .report.options import ReportOptions
from .report.write import ReportResult, write_report
from .samples.camera_files import read_camera
from .samples.find import Sample, find_samples
from .samples.landmark_files import find_landmarks, has_landmarks
from .samples.landmark_schemes import FaceLandmarks
from .samples.read import read_annotation, read_image
from .samples.selection import SampleSelection
from .shards.index import SkippedSample
from .shards.reader import ShardReader
from .synth.folder import SynthResult, render_faces
from .synth.options import SynthOptions

__version__: str

__all__ = [
    "AFLW_MIRROR",
    "LANDMARK_MIRROR",
    "Augmentation",
    "AugmentationDraw",
    "BaselFiles",
    "BuildConfig",
    "BuildResult",
    "ConvertResult",
    "Criteria",
    "DatasetConfig",
    "DatasetInfo",
    "Diagnosis",
    "EvaluationReport",
    "ExportResult",
    "FaceDetector",
    "FaceLandmarks",
    "Finding",
    "FitOptions",
    "FitResult",
    "HeadPose",
    "ImageCamera",
    "LandmarkFit",
    "LandmarkWeights",
    "MapOptions",
    "MorphableModel",
    "NetworkOptions",
    "Normalization",
    "PositionMapper",
    "PredictOptions",
    "PredictResult",
    "PreparedFaces",
    "PreviewResult",
    "RegisterOptions",
    "RegisterResult",
    "Registration",
    "RepairResult",
    "ReportOptions",
    "ReportResult",
    "RunOptions",
    "Sample",
    "SampleSelection",
    "ShardReader",
    "ShardResult",
    "SkippedSample",
    "Split",
    "SplitResult",
    "Supplements",
    "SynthOptions",
    "SynthResult",
    "TexelMirror",
    "UvAtlas",
    "UvgenError",
    "VerifyResult",
    "VideoOptions",
    "VideoResult",
    "aflw_texels",
    "aflw_uv",
    "alignment_gif",
    "augment_shards",
    "build_atlas",
    "build_shards",
    "contact_sheet",
    "convert_model",
    "crop_from_box",
    "crop_from_landmarks",
    "crop_from_points5",
    "crop_similarity",
    "crop_to_image",
    "denormalize",
    "describe_shards",
    "diagnose",
    "draw_alignment",
    "evaluate_predictions",
    "export_shards",
    "face_mask",
    "find_landmarks",
    "find_samples",
    "fit_landmarks",
    "fit_photographs",
    "fit_video",
    "group_samples",
    "has_landmarks",
    "import_maps",
    "import_meshes",
    "landmark_texels",
    "landmark_weights",
    "load_model",
    "map_to_landmarks",
    "map_to_mesh",
    "map_to_pose",
    "merge_shards",
    "open_shards",
    "parameterize",
    "predict_photographs",
    "prepare_deep3d",
    "read_annotation",
    "read_augmentation",
    "read_camera",
    "read_image",
    "read_landmarks",
    "register_scan",
    "register_scans",
    "render_faces",
    "render_predictions",
    "render_preview",
    "repair_shards",
    "resample_model",
    "running_on",
    "save_model",
    "select_names",
    "split_shards",
    "transfer_expressions",
    "verify_shards",
    "warp_image",
    "weight_mask",
    "write_report",
]
