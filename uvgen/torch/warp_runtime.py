"""NVIDIA Warp if it is installed: loaded on first use, silent, its kernels on PyTorch's devices and streams."""

import contextlib
import os
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from uvgen.errors import DependencyError, to_install
from uvgen.storage.reading import let_go

_lock = threading.RLock()  # a second thread waits until the first has compiled
_loaded: dict[tuple[torch.dtype, str, str], Any] = {}
_modules: dict[tuple[torch.dtype, str], tuple[Any, Any]] = {}  # compiled for no device yet
_streams: dict[tuple[int, int], Any] = {}
_launches = threading.local()
_failed: set[tuple[torch.dtype, str, str]] = set()  # what `is_used` need not try again
_NO_DRIVER = b"Could not find or load the NVIDIA CUDA driver"  # what Warp says of each machine without a GPU


def is_used(*tensors: Tensor) -> bool:
    """Whether functions that can do without Warp take it: for tensors on CUDA, if it is installed and works.

    Not in compiled graphs, whose compiler fuses operators itself, nor for tensors without memory of their own.
    """
    if torch.compiler.is_compiling() or not all(_has_memory_on_cuda(tensor) for tensor in tensors):
        return False
    key = tensors[0].dtype, str(tensors[0].device), "surfaces"
    if key in _loaded:
        return True
    if key in _failed or find_spec("warp") is None:
        return False
    try:
        kernels(tensors[0].device, tensors[0].dtype, "surfaces")
    except DependencyError as error:
        _failed.add(key)
        warnings.warn(f"{error}; PyTorch's own operators are used", RuntimeWarning, stacklevel=3)
        return False
    return True


def _has_memory_on_cuda(tensor: Tensor) -> bool:
    """Whether these are floats on CUDA, and no stand-in of `torch.func`, `torch.export` or a subclass."""
    if not tensor.is_cuda or tensor.dtype not in (torch.float32, torch.float64):
        return False
    wrapped = getattr(getattr(torch._C, "_functorch", None), "is_functorch_wrapped_tensor", None)
    return type(tensor) in (Tensor, torch.nn.Parameter) and not (wrapped is not None and wrapped(tensor))


def kernels(device: torch.device, dtype: torch.dtype, kind: str = "raster") -> Any:
    """The kernels of a kind, "raster" or "surfaces", for floats of this type, compiled for this device.

    Raises
    ------
    DependencyError
        If Warp is not installed, or cannot use the device.
    """
    key = dtype, str(device), kind
    if (found := _loaded.get(key)) is not None:
        return found
    with _lock, _silence():
        wp = _started()
        module, functions = _module(wp, dtype, kind)
        try:
            block = 1 if device.type == "cpu" else 256  # what launches take: another one is compiled anew
            wp.load_module(module, device=wp.device_from_torch(device), block_dim=block)
        except Exception as error:  # Warp's own, of many kinds
            reason = " ".join(str(error).split())
            raise DependencyError(f"NVIDIA Warp {wp.config.version} cannot run on {device} ({reason})") from error
        _loaded[key] = functions
    return functions


def _module(wp: Any, dtype: torch.dtype, kind: str) -> tuple[Any, Any]:
    """A Warp module and the kernels in it: plain IEEE arithmetic, no derivatives."""
    if (dtype, kind) not in _modules:
        from uvgen.torch import (
            warp_attribute_kernels,
            warp_map_kernels,
            warp_pose_kernels,
            warp_raster_kernels,
            warp_surface_kernels,
        )

        scalar = wp.float64 if dtype == torch.float64 else wp.float32
        module = wp.get_module(f"uvgen_{kind}_{scalar.__name__}")
        module.options.update({"fuse_fp": False, "fast_math": False, "enable_backward": False})
        makers: dict[str, tuple[Callable[..., Any], ...]] = {
            "raster": (warp_raster_kernels.raster, warp_attribute_kernels.attributes),
            "surfaces": (warp_surface_kernels.surfaces, warp_map_kernels.maps, warp_pose_kernels.poses),
        }
        functions = SimpleNamespace()
        for make in makers[kind]:
            functions.__dict__.update(vars(make(scalar, module)))
        _modules[dtype, kind] = module, functions
    return _modules[dtype, kind]


def vectors(dtype: torch.dtype) -> tuple[Any, Any]:
    """Warp's types of three floats and of three indices."""
    import warp as wp

    return (wp.vec3d if dtype == torch.float64 else wp.vec3f), wp.vec3i


def matrix(dtype: torch.dtype) -> Any:
    """Warp's type of three rows of three floats."""
    import warp as wp

    return wp.mat33d if dtype == torch.float64 else wp.mat33f


def launch(kernel: Any, dim: tuple[int, ...], device: torch.device, *arguments: Any) -> None:
    """Run a kernel on tensors, pairs (tensor, Warp dtype), numbers, and None for an array that is not there.

    On the device's current stream of PyTorch. `wp.launch` would describe all arguments anew, which takes longer than
    many a kernel: each thread keeps one launch per kernel and device, and sets what differs from the last time.

    Kernels take single arrays rather than `wp.struct` bundles of them. With bundles they compute the same bytes at the
    same speed, but each launch takes some microseconds more: 6 to 9 % for a mesh of 16 to 100 vertices on a CPU.
    """
    if not all(dim):
        return
    kept: dict[tuple[Any, torch.device], _Launch] = _launches.__dict__.setdefault("kept", {})
    if (recorded := kept.get((kernel, device))) is None:
        recorded = kept[kernel, device] = _Launch(kernel, dim, device, arguments)
    recorded.set(dim, arguments)
    recorded.command.launch(_stream(device))


class _Launch:
    """A launch that Warp has recorded, and what it knows of the arguments: numbers, and the layouts of tensors."""

    def __init__(self, kernel: Any, dim: tuple[int, ...], device: torch.device, arguments: tuple[Any, ...]) -> None:
        import warp as wp

        self.dim = dim
        self.known: list[Any] = [None if isinstance(value, Tensor | tuple) else value for value in arguments]
        self.arrays: list[Any] = [None] * len(arguments)
        self.from_torch = wp.from_torch
        self.command = wp.launch(kernel, dim, self.known, device=wp.device_from_torch(device), record_cmd=True)

    def set(self, dim: tuple[int, ...], arguments: tuple[Any, ...]) -> None:
        if dim != self.dim:
            self.command.set_dim(dim)
            self.dim = dim
        known, arrays = self.known, self.arrays
        for i, argument in enumerate(arguments):
            tensor, dtype = argument if isinstance(argument, tuple) else (argument, None)
            if not isinstance(tensor, Tensor):
                if argument != known[i]:
                    self.command.set_param_at_index(i, argument)
                    known[i] = argument
                continue
            layout = tensor.dtype, tensor.shape, tensor.stride()
            if layout == known[i]:
                arrays[i].data = tensor.data_ptr()
                continue
            array = self.from_torch(tensor, dtype=dtype, requires_grad=False, return_ctype=True)
            array._ref = None  # the launch outlives the tensor
            self.command.set_param_at_index_from_ctype(i, array)
            arrays[i], known[i] = array, layout


def _stream(device: torch.device) -> Any:
    """Warp's name of PyTorch's current stream; None on the CPU."""
    if device.type != "cuda":
        return None
    current = torch.cuda.current_stream(device)
    place = current.device_index, current.cuda_stream
    if (stream := _streams.get(place)) is None:
        import warp as wp

        stream = _streams.setdefault(place, wp.stream_from_torch(current))
    return stream


def _started() -> Any:
    """Warp, initialized; with a folder for compiled kernels that can be written."""
    try:
        import warp as wp
    except ImportError as error:
        raise DependencyError(
            f"uvgen.torch.rasterize and interpolate need NVIDIA Warp ({error}); {to_install('gpu')}"
        ) from error
    try:
        with _without_driver_warning():
            wp.init()
        folder = wp.config.kernel_cache_dir
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        folder = tempfile.mkdtemp(prefix="uvgen_warp_")
        warnings.warn(
            f"NVIDIA Warp cannot write to the folder of its compiled kernels ({error}), so each process spends some "
            "seconds compiling; set WARP_CACHE_PATH to a folder that can be written",
            RuntimeWarning,
            stacklevel=4,
        )
        wp.config.kernel_cache_dir = folder
        with _without_driver_warning():
            wp.init()
    return wp


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep Warp from printing its banner and what it loads, for as long as this lasts."""
    try:
        import warp as wp
    except ImportError:  # `_started` says so
        yield
        return
    has_levels = hasattr(wp.config, "log_level")  # older versions can be quiet or not
    name, quiet = ("log_level", wp.LOG_WARNING) if has_levels else ("quiet", True)
    kept = getattr(wp.config, name)
    setattr(wp.config, name, max(kept, quiet))
    try:
        yield
    finally:
        setattr(wp.config, name, kept)


@contextlib.contextmanager
def _without_driver_warning() -> Iterator[None]:
    """Pass on what is written to file descriptor 2, but for Warp's line about the driver, which C code prints."""
    try:
        sys.stderr.flush()
        kept, file = os.dup(2), tempfile.TemporaryFile()  # noqa: SIM115
    except (AttributeError, OSError, ValueError):  # no standard error, or no place for a file
        yield
        return
    with file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            let_go(kept)
            file.seek(0)
            rest = [line for line in file if _NO_DRIVER not in line]
            with contextlib.suppress(OSError):
                os.write(2, b"".join(rest))
