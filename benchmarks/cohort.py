"""A cohort of slides through one process, several, and a local cluster: wall time, and what bounds it.

The slides are generated (`napari_medseg.data.synthetic_slide`), the model is the bundled one of scheme `pathology`,
with one thread of a CPU per worker. Every way runs in a program of its own and predicts into a folder of its own; the
files are compared to the bit. Beside each stands the load of the machine, and how much of the cores it had: two workers
on two cores cannot be twice as fast while something else computes.

python benchmarks/cohort.py [--slides 20] [--side 4096] [--share 0.25] [--workers 2] [--folder DIR]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

WAYS = ("one process", "processes", "cluster")


def run_one(way: str, slides: Path, out: Path, workers: int) -> dict[str, float]:
    """Predict in this program; wall and CPU seconds, those of its workers among them, and those of starting."""
    from contextlib import ExitStack

    from napari_medseg import api

    started = time.perf_counter()
    with ExitStack() as stack:
        how: dict[str, Any] = {}
        if way == "processes":
            how["workers"] = workers
        elif way == "cluster":
            from distributed import LocalCluster

            known = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None, "silence_logs": 50}
            how["scheduler"] = stack.enter_context(LocalCluster(processes=True, **known)).scheduler_address
        first: list[float] = []

        def report(event: str, /, **values: Any) -> None:
            if event == "progress" and not first:
                first.append(time.perf_counter())

        fixed: dict[str, Any] = {"device": "cpu", "precision": "fp32", "threads": 1}
        rows = api.predict_files(api.bundled_model("pathology"), [slides], out, report=report, **fixed, **how)
        ended = time.perf_counter()
    assert not any(row["error"] for row in rows)
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in spent)
    return {"wall": ended - started, "begun": first[0] - started, "cpu": cpu}


def digest(out: Path) -> str:
    """Of all label files."""
    found = hashlib.sha256()
    for path in sorted(p for p in out.rglob("*") if p.is_file() and not p.name.endswith((".json", ".csv"))):
        found.update(path.relative_to(out).as_posix().encode() + path.read_bytes())
    return found.hexdigest()


def main() -> None:
    """Run every way and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slides", type=int, default=20)
    parser.add_argument("--side", type=int, default=4096)
    parser.add_argument("--share", type=float, default=0.25, help="of the slides that is tissue")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--one", nargs=3, metavar=("WAY", "SLIDES", "OUT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        way, slides, out = arguments.one
        print(json.dumps(run_one(way, Path(slides), Path(out), arguments.workers)))
        return
    from napari_medseg.data.synthetic_slide import write_slide

    print("| way | wall s | until the first window s | CPU s | cores had | load of the machine | against one process |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        slides = Path(folder) / "slides"
        slides.mkdir()
        for number in range(arguments.slides):
            size = (arguments.side, arguments.side)
            write_slide(slides / f"{number:03}.svs", size, seed=number, share=arguments.share, mpp=0.5)
        walls: dict[str, float] = {}
        digests = set()
        for way in arguments.ways:
            out = Path(folder) / way
            command = [sys.executable, __file__, "--workers", str(arguments.workers), "--one", way, slides, out]
            told = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
            found = json.loads(told.splitlines()[-1])
            walls[way] = found["wall"]
            digests.add(digest(out))
            numbers = [found["wall"], found["begun"], found["cpu"], found["cpu"] / found["wall"], os.getloadavg()[0]]
            ratio = walls[arguments.ways[0]] / found["wall"]
            print(f"| {way} | " + " | ".join(f"{number:.1f}" for number in numbers) + f" | {ratio:.2f} |", flush=True)
    print("The label files of all ways are the same to the bit." if len(digests) == 1 else "The label files DIFFER.")


if __name__ == "__main__":
    main()
