"""Any order of builds, kills, changes of the input, damage and repair: a set holds what a plain dictionary says.

The examples are the same in each run, so that a change of uvgen is what turns the test red. Others, and more of them:
``UVGEN_STATES=400 pytest tests/faults/test_states.py --hypothesis-profile=explore``.
"""

import hashlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support.builds import SMALL, file_hashes, make
from support.faults import finish, start
from support.toy import toy_model, write_sample

from uvgen import (
    Augmentation,
    RunOptions,
    augment_shards,
    export_shards,
    open_shards,
    repair_shards,
    save_model,
    verify_shards,
)
from uvgen.errors import DatasetError

EXAMPLES = int(os.environ.get("UVGEN_STATES", "4"))
NAMES = tuple(f"{subset}/{subset}_{k:03d}" for subset in ("AFW", "IBUG") for k in range(3))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills groups of processes"),
]


def content(folder: Path) -> dict[str, str]:
    """A hash of what is stored of each sample."""
    return {
        str(one["name"]): hashlib.sha256(
            b"".join(one[key].tobytes() for key in ("image", "posmap", "pose"))
        ).hexdigest()
        for one in open_shards(folder)
    }


class States(RuleBasedStateMachine):
    """The model is `samples`: which seed each sample's files have, None where its image is broken."""

    alone: ClassVar[dict[tuple[str, int], str]] = {}  # what a build of one sample alone stores of it

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="states-"))
        self.data, self.out, self.copies = (self.folder / name for name in ("data", "out", "copies"))
        save_model(toy_model(), self.folder / "toy.h5")
        self.samples: dict[str, int | None] = {}
        self.built: dict[str, int | None] | None = None  # the input of the last finished build, None before it
        self.copied: dict[str, str] | None = None
        for name in NAMES[:2]:
            self.write(name, 1)

    def teardown(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def write(self, name: str, seed: int) -> None:
        write_sample(self.data / name.split("/")[0], name.split("/")[1], seed)
        self.samples[name] = seed

    def expected(self, name: str, seed: int) -> str:
        """Independent of shards, neighbors, interruptions: the sample in a data set of its own."""
        if (name, seed) not in self.alone:
            with tempfile.TemporaryDirectory() as folder:
                write_sample(Path(folder, "data", name.split("/")[0]), name.split("/")[1], seed)
                make(Path(folder, "data"), self.folder / "toy.h5", Path(folder, "out"))
                self.alone[name, seed] = content(Path(folder, "out"))[name]
        return self.alone[name, seed]

    @property
    def overwrite(self) -> bool:
        return self.built is not None and self.built.keys() != self.samples.keys()  # another list of samples

    # What changes the input

    @rule(name=st.sampled_from(NAMES), seed=st.integers(1, 2))
    def add_sample(self, name: str, seed: int) -> None:
        if name not in self.samples:
            self.write(name, seed)

    @rule(name=st.sampled_from(NAMES))
    def break_image(self, name: str) -> None:
        """Only before a build: a sample that changes afterwards is not looked at again."""
        if self.samples.get(name) and self.built is None and not self.out.exists() and len(self.usable()) > 1:
            (self.data / f"{name}.jpg").write_bytes(b"no image")
            self.samples[name] = None

    @rule(seed=st.integers(1, 2))
    def mend_images(self, seed: int) -> None:
        for name in [name for name, of in self.samples.items() if of is None]:
            self.write(name, seed)

    def usable(self) -> dict[str, int]:
        return {name: seed for name, seed in self.samples.items() if seed is not None}

    # What is done

    @rule(workers=st.sampled_from((1, 1, 1, 2)))
    def build(self, workers: int) -> None:
        overwrite = self.overwrite or not self.continues()
        result = make(self.data, self.folder / "toy.h5", self.out, overwrite=overwrite, run=RunOptions(workers))
        self.built = dict(self.samples)
        assert {skip.name for skip in result.skipped} == {name for name, seed in self.built.items() if seed is None}

    def continues(self) -> bool:
        """Whether a build of the same samples was begun in the folder."""
        return getattr(self, "begun", None) == set(self.samples) and (self.out / "dataset.json").exists()

    @precondition(lambda self: self.built is None)
    @rule(share=st.floats(0, 1))
    def build_killed(self, share: float) -> None:
        """All of its processes, at any moment."""
        if self.out.exists() and not self.continues():
            shutil.rmtree(self.out)
        command = ("build", "--data", self.data, "--model", self.folder / "toy.h5", "--out", self.out, "--size", 32,
                   "--uv-size", 48, "--shard-size", SMALL.shard_size, "--workers", 2, "--quiet")  # fmt: skip
        process = start(*command)
        time.sleep(6 * share)
        os.killpg(process.pid, signal.SIGKILL)
        finish(process)
        self.begun = set(self.samples)

    @precondition(lambda self: self.built is not None)
    @rule(
        number=st.integers(0, 9), place=st.floats(0, 1, exclude_max=True), how=st.sampled_from(("bit", "cut", "gone"))
    )
    def damage_and_repair(self, number: int, place: float, how: str) -> None:
        whole = file_hashes(self.out)
        files = sorted(name for name in whole if name != "dataset.json")
        path = self.out / files[number % len(files)]
        data = bytearray(path.read_bytes())
        where = int(place * len(data))
        if how == "gone":
            path.unlink()
        elif how == "cut":
            path.write_bytes(data[:where])
        else:
            data[where] ^= 1 << number % 8
            path.write_bytes(data)
        assert [problem for problem in verify_shards(self.out).problems if problem.startswith(f"{path}:")]
        result = repair_shards(self.out, data=self.data, model=self.folder / "toy.h5")
        assert (result.repaired, result.problems) == ((path,), ())
        assert file_hashes(self.out) == whole

    @precondition(lambda self: self.built is not None)
    @rule()
    def damage_index(self) -> None:
        """It is refused; the way on is to start anew."""
        path = self.out / "dataset.json"
        path.write_bytes(path.read_bytes().replace(b'"samples"', b'"sample5"', 1))
        for work in (open_shards, verify_shards, repair_shards):
            with pytest.raises(DatasetError):
                work(self.out)
        make(self.data, self.folder / "toy.h5", self.out, overwrite=True)
        self.built = dict(self.samples)

    @precondition(lambda self: self.built is not None)
    @rule(copies=st.integers(1, 2))
    def augment(self, copies: int) -> None:
        """Copies of copies' number are what a set made at once holds, also after one is lost."""
        shutil.rmtree(self.copies, ignore_errors=True)
        augment_shards(self.out, self.copies, Augmentation.preset("prnet"), copies=copies)
        names = {f"{name}-{k}" for name, seed in self.built.items() if seed for k in range(copies)}  # type: ignore[union-attr]
        assert set(content(self.copies)) == names and verify_shards(self.copies).sound
        whole = file_hashes(self.copies)
        sorted(self.copies.glob("*.h5"))[-1].unlink()
        assert repair_shards(self.copies, source=self.out).problems == ()
        assert file_hashes(self.copies) == whole

    @precondition(lambda self: self.built is not None)
    @rule()
    def export(self) -> None:
        shutil.rmtree(self.folder / "exported", ignore_errors=True)
        result = export_shards(self.out, self.folder / "exported", "npy")
        assert result.samples == sum(seed is not None for seed in self.built.values())  # type: ignore[union-attr]

    # What holds

    @invariant()
    def folder_holds_what_was_built(self) -> None:
        if getattr(self, "built", None) is None:
            return
        wanted = {name: self.expected(name, seed) for name, seed in self.built.items() if seed is not None}  # type: ignore[union-attr]
        assert content(self.out) == wanted
        assert verify_shards(self.out).sound
        assert not list(self.out.glob(".*"))


@pytest.mark.vital
def test_any_order_of_work_and_faults_gives_what_the_samples_say() -> None:
    run_state_machine_as_test(
        States,
        settings=settings(
            max_examples=EXAMPLES, stateful_step_count=8, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
