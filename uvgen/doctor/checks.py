"""The checks: stable codes, what each means, why it happens and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

ERROR, WARNING, NOTE = "error", "warning", "note"
"""How much a finding matters: it must be mended; it probably should be; it is good to know."""


class Check(NamedTuple):
    """One thing that can be wrong.

    Attributes
    ----------
    level : str
        `ERROR`, `WARNING` or `NOTE`.
    title : str
        What is the matter, in a few words.
    cause, cure : str
        Why it happens, and what to do about it: sentences.
    """

    level: str
    title: str
    cause: str
    cure: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a check found.

    Attributes
    ----------
    code : str
        ``UV201``; a key of `CHECKS`.
    text : str
        What was found, and where.
    n : int
        How many findings it stands for: more than one in a line such as "and 9 more".
    """

    code: str
    text: str
    n: int = 1

    @property
    def level(self) -> str:
        """`ERROR`, `WARNING` or `NOTE`."""
        return CHECKS[self.code].level


N_NAMED = 10
"""Findings of one code that are told one by one."""


def few(code: str, texts: Sequence[str]) -> list[Finding]:
    """The first findings of one kind, and how many more there are."""
    findings = [Finding(code, text) for text in texts[:N_NAMED]]
    if len(texts) > N_NAMED:
        more = len(texts) - N_NAMED
        findings.append(Finding(code, f"and {more} more", more))
    return findings


CHECKS = {
    "UV101": Check(
        ERROR, "a required package is missing or too old",
        "uvgen was installed without its dependencies, another package has replaced one with an older version, or its "
        "files are damaged.",
        "Install uvgen again with pip in an environment of its own.",
    ),
    "UV102": Check(
        WARNING, "compiled code cannot be kept",
        "Numba finds no folder that it can write to: uvgen's own is read-only and there is no home folder. Each "
        "process, and each worker, then spends seconds compiling.",
        "Set NUMBA_CACHE_DIR to a folder that can be written.",
    ),
    "UV103": Check(
        NOTE, "the HDF5 library has known faults",
        "h5py bundles a release of HDF5 that damaged or hostile files can crash or hang. Files of your own are not "
        "affected.",
        "Read files from people you do not know in a child process: use --untrusted of the commands that read them, "
        "or untrusted=True.",
    ),
    "UV104": Check(
        NOTE, "fewer cores may be used than the machine has",
        "A container, a batch system or taskset limits this process. Workers beyond the limit wait for each other.",
        "Nothing is needed: by default, commands start one worker per usable core. Do not set --workers to more.",
    ),
    "UV105": Check(
        ERROR, "Numba's compiler is switched off",
        "The environment variable NUMBA_DISABLE_JIT is set, as debuggers and coverage tools do. Kernels then run as "
        "plain Python, hundreds of times slower.",
        "Unset NUMBA_DISABLE_JIT.",
    ),
    "UV106": Check(
        WARNING, "little free disk space",
        "Less than 1 GB is free in the current folder or in the folder of temporary files. All of 300W-LP takes 73 "
        "GB at 256 px, or 4 GB with `uvgen build --maps none --image-codec jpeg`.",
        "Free some space, write to another disk, or set TMPDIR to a folder on one.",
    ),
    "UV107": Check(
        WARNING, "little shared memory",
        "/dev/shm is small; containers have 64 MB by default. Workers of data loaders pass batches through it and die "
        "with a bus error when it is full.",
        "Start the container with --shm-size=2g or --ipc=host, or use fewer workers and smaller batches.",
    ),
    "UV108": Check(
        WARNING, "few files may be open at a time",
        "The limit of open files (ulimit -n) is below 256. A reader keeps up to 64 shards open, in each worker.",
        "Raise it with ulimit -n 4096.",
    ),
    "UV109": Check(
        WARNING, "little memory",
        "Less than 2 GB of memory is available to this process: on the machine, or within the limit of its container, "
        "batch job, service or shell (ulimit -v). Each worker of a build needs about 0.12 GB, and all of them together "
        "0.4 GB for the Basel model. The kernel kills processes when memory runs out.",
        "Use fewer workers, such as `--workers 1`, if the command has this option.",
    ),
    "UV110": Check(
        ERROR, "temporary files cannot be written",
        "The folder for temporary files is missing, full or read-only. Worker processes receive their work through "
        "files in it.",
        "Set TMPDIR to a folder that can be written.",
    ),
    "UV111": Check(
        WARNING, "TMPDIR is not used",
        "The environment variable TMPDIR names a folder that is missing, full or read-only. Python then writes "
        "temporary files elsewhere, such as to /tmp, which may have less space.",
        "Make that folder, or set TMPDIR to one that can be written.",
    ),
    "UV112": Check(
        WARNING, "the cache folder cannot be written",
        "The built-in sample set and copies of files in object stores are kept in uvgen's cache folder, which is in "
        "the home folder by default. Commands that make them stop.",
        "Set UVGEN_CACHE to a folder that can be written.",
    ),
    "UV201": Check(
        ERROR, "the index of the data set cannot be used",
        "dataset.json is missing, damaged, edited by hand or of another version of the format.",
        "If a later version of uvgen made the set, install that one. Otherwise build the set again: run the command "
        "that made it, with its --overwrite.",
    ),
    "UV202": Check(
        WARNING, "the data set is not finished",
        "The command that made it was interrupted, or is still running.",
        "Run the same command again: it makes what is missing.",
    ),
    "UV203": Check(
        ERROR, "a shard is missing or of another size than the index says",
        "A file was deleted, or a copy of the folder was cut short.",
        "Copy the folder again, or run `uvgen verify --repair` or the command that made the set. Both make such "
        "shards again.",
    ),
    "UV204": Check(
        WARNING, "files that do not belong to the data set",
        "The folder contains shards that the index does not list, or hidden files that a killed process left. Readers "
        "ignore them.",
        "Run the command that made the set again, which removes what killed processes left; delete other files by "
        "hand.",
    ),
    "UV205": Check(
        ERROR, "the constants of the data set are missing or damaged",
        "constants.npz, which holds the weight mask, was deleted or changed.",
        "Run `uvgen verify --repair`, or the command that made the set. Both write the file again.",
    ),
    "UV206": Check(
        WARNING, "many samples were skipped",
        "More than a twentieth of the samples could not be used; dataset.json names each of them with the reason.",
        "Look at the reasons in `uvgen info`. After the files are repaired, the same command includes these samples.",
    ),
    "UV207": Check(
        ERROR, "a split names samples that are not in the set",
        "splits.json was made for another data set, or the set was built again from other samples.",
        "Make the named parts anew with --overwrite; those of `uvgen split` all in one run. To get rid of other parts, "
        "delete splits.json first.",
    ),
    "UV208": Check(
        WARNING, "a photograph is in two splits",
        "Versions of one photograph (turned, mirrored or augmented) are in a part for training and in one for "
        "validation, so that results on the latter are too good.",
        "Make the named parts anew with one run of `uvgen split --overwrite`, without --by, such as "
        "`--fractions train=0.8,val=0.1,test=0.1`. Parts of separate runs overlap, because each run divides the whole "
        "set. To get rid of a part, delete splits.json first.",
    ),
    "UV209": Check(
        NOTE, "many small shards",
        "The set has more than 100 shards of fewer than 32 samples on average, which makes opening and copying "
        "slow.",
        "Run `uvgen merge SHARDS --shard-size 256 --out FOLDER`, which copies the samples into larger shards, or build "
        "the set again with a larger `uvgen build --shard-size`. No shard holds samples of two subsets: put the images "
        "of many small subset folders into a few.",
    ),
    "UV210": Check(
        WARNING, "labels are far from the annotations",
        "The parameters do not belong to the model, or follow other conventions than those of 300W-LP; the message "
        "names the probable cause.",
        "See docs/quality.md; `uvgen report` shows the worst samples.",
    ),
    "UV211": Check(
        ERROR, "the data set is damaged",
        "`uvgen verify` found that the content of a file is not what was written.",
        "Run `uvgen verify SHARDS --repair`, or copy the folder again.",
    ),
    "UV212": Check(
        NOTE, "crops and maps are compressed",
        "Shards of `uvgen build --compression gzip` are read three to ten times slower than plain ones and "
        "are a third smaller.",
        "Build without it if the disk has room for uncompressed shards; see docs/performance.md.",
    ),
    "UV213": Check(
        NOTE, "the data set was made by another version of uvgen",
        "The set can be read. Building more of it with this version is refused, because the bytes could differ.",
        "If you need to add samples to it, run the command that made it again, with its --overwrite.",
    ),
    "UV214": Check(
        ERROR, "the model is not the one of the data set",
        "The set was built with another model, or with an earlier state of this one. Nothing that needs the model was "
        "checked.",
        "Give the model that the set was built with as --model; `uvgen info` prints its name and hash.",
    ),
    "UV215": Check(
        NOTE, "turned versions have one annotation in common",
        "In some copies of 300W-LP all turned versions of a photograph hold the landmarks of one of them. They are "
        "left out where labels are compared with annotations; the labels themselves are not affected.",
        "Nothing is needed.",
    ),
    "UV301": Check(
        ERROR, "no samples are found",
        "The folder contains neither images nor subset folders with images, or it contains a copy of itself.",
        "Name the folder that contains AFW, HELEN, IBUG and LFPW, or the images themselves.",
    ),
    "UV302": Check(
        WARNING, "images without parameters",
        "A .mat file of the same name is missing beside these images; they are skipped.",
        "Unpack the archive again, or fit parameters to the images with `uvgen fit`.",
    ),
    "UV303": Check(
        WARNING, "parameters without images",
        "The image of these .mat files is missing or of a kind that is not read; they are skipped.",
        "Unpack the archive again.",
    ),
    "UV304": Check(
        WARNING, "several files for one sample",
        "Two images or two .mat files have names that differ only in the suffix, letter case or form of accents; the "
        "sample is skipped.",
        "Remove or rename the wrong one.",
    ),
    "UV305": Check(
        WARNING, "folders that are not read",
        "Images lie more than one level below the folder, a folder has .mat files and no images, or a link leads "
        "nowhere.",
        "Name the folder that contains the images, or the one above it. Save pictures of other kinds as JPEG or PNG; "
        "mount the disk that a link leads to.",
    ),
    "UV306": Check(
        ERROR, "samples cannot be used",
        "An image is damaged, or parameters are missing, or the image of a list's row is. With --model, this includes "
        "what `uvgen build` refuses: parameters that are out of range or not as many as the model has components, and "
        "faces of impossible size or outside their image. Without --deep, only a few samples are checked.",
        "The message says what was found and what was expected. `uvgen build` skips such samples and names them.",
    ),
    "UV307": Check(
        WARNING, "parameters are doubtful",
        "The content of the samples' files is unusual for the model, or cannot be used as it stands; `uvgen build` "
        "gives the same warning.",
        "The message says what it is; see docs/quality.md.",
    ),
    "UV308": Check(
        WARNING, "labels would be far from the annotations",
        "The parameters do not belong to this model, or follow other conventions than those of 300W-LP; the message "
        "names the probable cause. Without --deep, only a few samples are checked.",
        "See docs/quality.md before you build.",
    ),
    "UV309": Check(
        NOTE, "turned versions have one annotation in common",
        "In some copies of 300W-LP all turned versions of a photograph hold the landmarks of one of them. They are "
        "left out where labels are compared with annotations.",
        "Nothing is needed.",
    ),
    "UV310": Check(
        ERROR, "no sample can be used",
        "Each image lacks its parameters, each .mat file lacks its image, several files have the name of one sample, "
        "or no row of a list can be used.",
        "If the photographs have no parameters, make them with `uvgen fit`. Otherwise name the folder that contains "
        "both images and .mat files, or put a list into the folder that its images' paths begin in.",
    ),
    "UV401": Check(
        ERROR, "the model cannot be read",
        "The file is not a face model, is damaged, or is of a kind that uvgen does not read; or the folder holds "
        "several models, parts of one, or models in its subfolders, and none is chosen for you.",
        "The message says what the file is and, if there is one, which option of `uvgen model convert` takes it. Of a "
        "folder, it names the models in it: give one of these files.",
    ),
    "UV402": Check(
        WARNING, "the model is doubtful",
        "Maps can be made with it, but its landmarks, triangles, UV, mirror pairs or units look wrong.",
        "Look at labels with `uvgen synth --model FILE` and `uvgen preview` before using it.",
    ),
    "UV403": Check(
        NOTE, "the model has no mirror pairs",
        "The model does not say which vertices mirror each other, so that augmentations cannot flip maps.",
        "Convert it from files that have them: BFM_info.mat beside BFM.mat, or model_info.mat with symlist.",
    ),
    "UV404": Check(
        NOTE, "the model has no colors",
        "Faces that `uvgen synth` renders with it are gray.",
        "Convert it from files with texMU and texPC, if they exist.",
    ),
    "UV405": Check(
        NOTE, "the model is not in uvgen's own format",
        "Files in other formats are read whole each time, which takes seconds; uvgen's own format opens in "
        "milliseconds.",
        "Convert it once: `uvgen model convert` or `uvgen model export --format uvgen`.",
    ),
}  # fmt: skip
"""Code → check; 1xx the machine, 2xx data sets, 3xx folders of samples, 4xx models. A code keeps its meaning."""
