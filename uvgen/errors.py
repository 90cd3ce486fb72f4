"""The errors uvgen raises: one family, so that `except UvgenError` catches them all.

Each message names the file or field, what was found, what was expected and what to do. All arguments go to
`super().__init__`, so that the errors survive pickling between worker processes.
"""

import re

SCHEMES = ("s3", "s3a", "gs", "gcs", "hf", "az", "abfs")
"""Of URLs of object stores."""

MIRROR = "uvgen-stores"
"""The folder that stands for all stores in a path of `uvgen.storage.urls`."""

_MIRRORED = re.compile(rf"[^\s'\"(]*/{MIRROR}/({'|'.join(SCHEMES)})/")


def with_urls(text: str) -> str:
    """A message with the URLs of stores in place of the paths that stand for them."""
    return _MIRRORED.sub(r"\1://", text) if MIRROR in text else text


def to_install(*extras: str) -> str:
    """What installs the packages of one of uvgen's extras, as messages say it: uvgen is on no package index."""
    named = " or ".join(f'".[{extra}]"' for extra in extras)
    return f"pip install {named} in uvgen's source folder"


class UvgenError(Exception):
    """Base class of every error that uvgen raises on purpose."""

    def __str__(self) -> str:
        return with_urls(super().__str__())


class InputError(UvgenError, ValueError):
    """An argument has a wrong shape, dtype, range or value."""


class ModelError(UvgenError, ValueError):
    """A face-model file, or a combination of them, cannot be used."""


class SampleError(UvgenError, ValueError):
    """One sample (an image and its parameters) cannot be used; others are not affected."""


class DatasetError(UvgenError, OSError):
    """A folder of samples or of shards is missing, unreadable, inconsistent or cannot be written."""


class ListChangedError(DatasetError):
    """A list of samples is not what it was when the run began: that is no fault of one of its samples."""


class FieldError(DatasetError, KeyError):
    """The samples of a data set have no field of this name."""


class OutputError(DatasetError):
    """An output folder holds something else, or cannot be made; another one is to be chosen."""


class SettingsError(OutputError):
    """An output folder holds what was made with other settings, or by another version; it may be overwritten."""


class BusyError(DatasetError):
    """Another process is writing into the same folder."""


class MeshFileError(UvgenError, OSError):
    """A mesh file cannot be read or written."""


class DependencyError(UvgenError, ImportError):
    """A package that a part of uvgen needs, and that uvgen itself does not require, is not installed."""


class WorkerError(UvgenError, RuntimeError):
    """Worker processes cannot be started, or die again and again at the same work."""
