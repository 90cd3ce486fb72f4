"""Run a benchmark, keep what it printed, and say which of its figures changed.

    python benchmarks/history.py build --data 300W_LP/ --model bfm.h5
    python benchmarks/history.py rasterize --repeats 60 --keep history/

The output goes to the terminal, and as a line of JSON to KEEP/BENCHMARK.jsonl (KEEP: benchmarks/history by default),
with the time, the commit, the processor and the arguments. Each figure is then compared with the median of the same
figure in the last runs with these arguments on this processor; those that differ by more than 5% are listed. A line of
the output is recognized by its words; the figures are the numbers in it that have a decimal point.
"""

import json
import platform
import re
import statistics
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from joblib import cpu_count

HERE = Path(__file__).resolve().parent
CHANGE, RUNS = 0.05, 5
SHARED = ("history", "timing", "example_programs", "fault_bench", "usual_files")
"""Files beside the benchmarks that are none."""

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?=x\b|[^\w.]|$)")


def figures(text: str) -> dict[str, float]:
    """Figures of an output by the words of their line, its place among lines of those words, and theirs in the line."""
    found: dict[str, float] = {}
    seen: dict[str, int] = {}
    for line in text.splitlines():
        words = " ".join(_NUMBER.sub("#", line).split())
        seen[words] = again = seen.get(words, 0) + 1
        for place, number in enumerate(_NUMBER.findall(line)):
            if "." in number:
                found[f"{words}{f' [{again}]' if again > 1 else ''} ({place + 1})"] = float(number)
    return found


def changes(now: dict[str, float], before: list[dict[str, float]]) -> list[tuple[str, float, float]]:
    """Figures that differ by more than 5% from the median of earlier runs: its name, that median, the figure."""
    changed = []
    for name, value in now.items():
        known = [run[name] for run in before[-RUNS:] if name in run]
        if known and abs(value - (usual := statistics.median(known))) > CHANGE * abs(usual):
            changed.append((name, usual, value))
    return changed


def processor() -> str:
    """The processor's name and how many of its cores this process may use."""
    try:
        name = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        name = None
    return f"{name.group(1).strip() if name else platform.processor() or platform.machine()}, {cpu_count()} cores"


def commit() -> str:
    """The commit that is measured, with + if files were changed; nothing outside of a checkout."""
    command = ["git", "-C", str(HERE), "describe", "--always", "--dirty=+", "--exclude=*"]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout.strip() if run.returncode == 0 else ""


def read(path: Path, arguments: list[str], machine: str) -> list[dict[str, float]]:
    """Figures of the runs that can be compared, oldest first."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    runs = [json.loads(line) for line in lines if line.strip()]
    return [figures(run["output"]) for run in runs if (run["arguments"], run["processor"]) == (arguments, machine)]


def main(arguments: list[str]) -> int:
    """Status of the benchmark; 2 for wrong usage."""
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in SHARED)
    folder = HERE / "history"
    if "--keep" in arguments[1:-1]:
        k = arguments.index("--keep")
        folder = Path(arguments[k + 1])
        arguments = arguments[:k] + arguments[k + 2 :]
    if not arguments or arguments[0] not in names:
        print(__doc__)
        print(f"usage: history.py BENCHMARK [its options] [--keep DIR]; benchmarks: {', '.join(names)}")
        return 0 if arguments in (["-h"], ["--help"]) else 2
    name, *options = arguments
    command = [sys.executable, "-u", str(HERE / f"{name}.py"), *options]
    kept = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            kept.append(line)
    if process.returncode != 0 or "--help" in options:
        return process.returncode
    output, machine, path = "".join(kept), processor(), folder / f"{name}.jsonl"
    before = read(path, options, machine)
    folder.mkdir(parents=True, exist_ok=True)
    run = {"time": datetime.now(UTC).isoformat(timespec="seconds"), "commit": commit(), "processor": machine,
           "arguments": options, "output": output}  # fmt: skip
    with open(path, "a", encoding="utf-8") as file:
        file.write(json.dumps(run) + "\n")
    now = figures(output)
    changed = changes(now, before)
    print(f"\n{path}: {len(now)} figures, compared with {min(len(before), RUNS)} earlier runs on {machine}")
    for figure, usual, value in changed:
        print(f"  {usual:g} -> {value:g} ({(value / usual - 1) * 100 if usual else float('inf'):+.0f} %): {figure}")
    if before and not changed:
        print(f"  none differs by more than {CHANGE:.0%}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
