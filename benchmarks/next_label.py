"""Replay labelling with every strategy for the next label, and print what each gains over the honest baseline.

python benchmarks/next_label.py --prepare /tmp/replay --data ../shared/data     # once: small copies of the images
python benchmarks/next_label.py /tmp/replay --seeds 5 --jobs 16 --device cuda --out replay.json

A replay holds out a third of the groups (patients) for the test, labels some images at random, trains a small
segmenter, lets the strategy choose the next images by what that segmenter says of them, labels these with what people
drew, and so on. Strategies of one seed share the test images and the first labels. Printed are the mean Dice on the
test images over the rounds after the first (area under the learning curve) and after the last, and the gain over
``foreground-random``: mean over seeds of the paired differences, with 95 % intervals (Student's t).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as Picture

from napari_medseg import metrics
from napari_medseg.structures import DatasetInfo, Image, MaskClass, TrainingCase, TrainingSet

BASELINE = "foreground-random"
DATASETS = ("path_glas", "oct_duke_dme")
_GROUPS = {"path_glas": "patient", "oct_duke_dme": "subject"}
_CLASSES = {
    "path_glas": ("gland",),
    "oct_duke_dme": ("RNFL", "GCL+IPL", "INL", "OPL", "ONL-ISM", "ISE", "OS-RPE", "choroid", "fluid"),
}
_TEST_SHARE = 1 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a replay is made of."""

    folder: Path
    device: str
    start: int
    step: int
    rounds: int
    steps: int
    width: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """The replays of one seed on one data set, which share the first training."""

    dataset: str
    strategies: tuple[str, ...]
    seed: int


def prepare(source: Path, out: Path, side: int) -> None:
    """Write small copies: OUT/<data set>.npz with encoded pictures and masks whose shorter side is `side`."""
    out.mkdir(parents=True, exist_ok=True)
    for name in DATASETS:
        arrays: dict[str, npt.NDArray[Any]] = {}
        groups = {}
        with (source / name / "index.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        for row in rows:
            picture = Picture.open(next((source / name / "images").glob(f"{row['id']}.*")))
            mask = np.asarray(Picture.open(source / name / "masks" / f"{row['id']}.png"))
            if name == "path_glas":
                mask = (mask > 0).astype(np.uint8)
            scale = side / min(picture.size)
            size = (max(side, round(picture.width * scale)), max(side, round(picture.height * scale)))
            grey = name == "oct_duke_dme"
            picture = picture.convert("L" if grey else "RGB").resize(size, Picture.Resampling.BOX)
            small = Picture.fromarray(mask.astype(np.uint8)).resize(size, Picture.Resampling.NEAREST)
            arrays[f"{row['id']}/image"] = _encoded(picture, "PNG" if grey else "JPEG")
            arrays[f"{row['id']}/mask"] = _encoded(small, "PNG")
            groups[row["id"]] = row[_GROUPS[name]]
        np.savez(out / f"{name}.npz", groups=json.dumps(groups), **arrays)
        print(f"{out / name}.npz: {len(rows)} images, {(out / f'{name}.npz').stat().st_size / 2**20:.1f} MiB")


def _encoded(picture: Picture.Image, format_name: str) -> npt.NDArray[np.uint8]:
    stream = io.BytesIO()
    picture.save(stream, format_name, quality=92)
    return np.frombuffer(stream.getvalue(), np.uint8)


def load(folder: Path, name: str) -> tuple[DatasetInfo, list[TrainingCase]]:
    """The cases of a small copy, in memory."""
    colors = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#f0e442", "#56b4e9", "#e69f00", "#999999", "#000000")
    classes = tuple(
        MaskClass(value=value, name=text, color=color)
        for value, (text, color) in enumerate(zip(_CLASSES[name], colors, strict=False), start=1)
    )
    cases = []
    with np.load(folder / f"{name}.npz") as archive:
        for case, group in json.loads(str(archive["groups"])).items():
            pixels, labels = (
                np.asarray(Picture.open(io.BytesIO(archive[f"{case}/{part}"].tobytes()))) for part in ("image", "mask")
            )
            cases.append(_case(case, group, pixels, labels))
    return DatasetInfo(name=name, classes=classes), cases


def _case(case: str, group: str, pixels: npt.NDArray[np.uint8], labels: npt.NDArray[np.uint8]) -> TrainingCase:
    rgb = pixels.ndim == 3
    image = Image(levels=(pixels,), axes="yxc" if rgb else "yx", rgb=rgb, name=case)
    return TrainingCase(
        case=case,
        group=group,
        source="",
        split="train",
        tag=None,
        grade=None,
        has_mask=True,
        load_image=lambda: image,
        load_labels=lambda: labels,
        content_hash=case.encode().hex().ljust(32, "0"),
        image_hash=case.encode().hex().ljust(32, "0"),
    )


def replays(task: Task, options: Options) -> list[dict[str, Any]]:
    """Run the replays of a seed: for each strategy the Dice on the test images after every round."""
    info, cases = load(options.folder, task.dataset)
    rng = np.random.default_rng(task.seed)
    test, pool = _held_out(cases, rng)
    start = [int(i) for i in rng.permutation(len(pool))[: options.start]]
    first = train_segmenter(info, [pool[i] for i in start], task.seed * 100, options)
    first_dice = _dice(first, test)
    rows = []
    for strategy in task.strategies:
        began = time.perf_counter()
        labelled, model = list(start), first
        scores = [{"labelled": len(labelled), "dice": first_dice}]
        for number in range(options.rounds):
            labelled += _chosen(model, pool, labelled, strategy, number, task.seed, options)
            model = train_segmenter(info, [pool[i] for i in labelled], task.seed * 100 + number + 1, options)
            scores.append({"labelled": len(labelled), "dice": _dice(model, test)})
        rows.append(
            {
                "dataset": task.dataset,
                "strategy": strategy,
                "seed": task.seed,
                "scores": scores,
                "chosen": [pool[i].case for i in labelled],
                "test": len(test),
                "seconds": time.perf_counter() - began,
            }
        )
    return rows


def _chosen(
    model: Any,
    pool: Sequence[TrainingCase],
    labelled: Sequence[int],
    strategy: Any,
    number: int,
    seed: int,
    options: Options,
) -> list[int]:
    """The images of the pool that a strategy has labelled next."""
    from napari_medseg.inference.impressions import impression_of
    from napari_medseg.inference.ranking import rank

    rest = [i for i in range(len(pool)) if i not in labelled]
    impressions = [
        impression_of(
            model.predictor,
            pool[i].load_image(),
            model.compute,
            case=str(i),
            group=pool[i].group,
            second_opinion=strategy == "disagreement",
        )
        for i in rest
    ]
    ranked = rank(
        impressions,
        strategy,
        class_names=[c.name for c in model.predictor.classes],
        progress=number / max(1, options.rounds - 1),
        seed=seed * 1000 + number,
    )
    return [int(each.case) for each in ranked[: options.step]]


def _held_out(cases: Sequence[TrainingCase], rng: np.random.Generator) -> tuple[list[TrainingCase], list[TrainingCase]]:
    """Test and pool: whole groups in a random order go to the test until it has its share."""
    test: list[TrainingCase] = []
    groups = sorted({case.group for case in cases})
    for place in rng.permutation(len(groups)):
        if len(test) >= _TEST_SHARE * len(cases):
            break
        test += [case for case in cases if case.group == groups[place]]
    held = {case.case for case in test}
    return test, [case for case in cases if case.case not in held]


def train_segmenter(info: DatasetInfo, cases: Sequence[TrainingCase], seed: int, options: Options) -> Any:
    """A small segmenter of scheme `pathology` (stage B alone), trained for a fixed number of steps."""
    from napari_medseg.api.prediction import load_model
    from napari_medseg.api.training import train_cases
    from napari_medseg.schemes import build_config, find_scheme

    scheme = find_scheme("pathology")
    assignments = [
        f"network.base_width={options.width}",
        f"input_size={options.size}",
        "training.epochs=1",
        f"training.steps_per_epoch={options.steps}",
        "training.batch_size=8",
        # So few steps learn little at the usual rate.
        "training.learning_rate=0.005",
        "training.warmup_steps=10",
        "training.checkpoint_seconds=10000",
    ]
    config = build_config(scheme, assignments=assignments)
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        compute = {"device": options.device, "precision": "bf16" if "cuda" in options.device else "fp32", "threads": 1}
        train_cases(scheme, config, TrainingSet(info=info, cases=tuple(cases)), run, seed=seed, **compute)
        return load_model(run, **compute)


def _dice(model: Any, cases: Sequence[TrainingCase]) -> float:
    """Mean over classes of the Dice from pixel counts pooled over the cases."""
    from napari_medseg.inference.engine import predict

    values = [c.value for c in model.predictor.classes]
    counts = np.zeros((len(values), 3), np.int64)
    for case in cases:
        labels = predict(model.predictor, case.load_image(), compute=model.compute).labels
        counts += metrics.class_counts(case.load_labels(), np.asarray(labels), values)
    return float(metrics.mean_of_defined(metrics.counts_to_scores(counts)["dice"]))


def _run(work: tuple[Task, Options, float]) -> list[dict[str, Any]]:
    """In a process of the pool; nothing when the time is up before the start."""
    task, options, deadline = work
    if time.time() > deadline:
        return []
    import torch

    torch.set_num_threads(1)
    return replays(task, options)


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Per data set and strategy: the area under the curve, the last Dice, and the paired gains over the baseline."""
    from napari_medseg.schemes.experiment import paired_difference

    table = []
    for dataset in sorted({row["dataset"] for row in rows}):
        by_key = {(r["strategy"], r["seed"]): r["scores"] for r in rows if r["dataset"] == dataset}
        for strategy in dict.fromkeys(strategy for strategy, _ in by_key):
            seeds = sorted(s for name, s in by_key if name == strategy and (BASELINE, s) in by_key)
            if not seeds:
                continue
            entry: dict[str, Any] = {"dataset": dataset, "strategy": strategy, "seeds": len(seeds)}
            for key, figure in (("area", _area), ("last", _last)):
                ours = [figure(by_key[strategy, seed]) for seed in seeds]
                gain, half = paired_difference(ours, [figure(by_key[BASELINE, seed]) for seed in seeds])
                bounds = None if half is None else [gain - half, gain + half]
                entry |= {key: float(np.mean(ours)), f"{key}_gain": gain, f"{key}_gain_ci": bounds}
            table.append(entry)
    return table


def _area(scores: Sequence[dict[str, float]]) -> float:
    return float(np.mean([each["dice"] for each in scores[1:]]))


def _last(scores: Sequence[dict[str, float]]) -> float:
    return scores[-1]["dice"]


def as_markdown(table: Sequence[dict[str, Any]]) -> str:
    """The summary as a table."""
    lines = [
        "| data | strategy | mean Dice over the rounds | gain over foreground-random | last Dice | gain | seeds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for entry in table:
        cells = [entry["dataset"], entry["strategy"]]
        for key in ("area", "last"):
            bounds = entry[f"{key}_gain_ci"]
            interval = "" if bounds is None else f" [{bounds[0]:+.3f}, {bounds[1]:+.3f}]"
            gain = "baseline" if entry["strategy"] == BASELINE else f"{entry[f'{key}_gain']:+.3f}{interval}"
            cells += [f"{entry[key]:.3f}", gain]
        lines.append("| " + " | ".join([*cells, str(entry["seeds"])]) + " |")
    return "\n".join(lines)


def parser() -> argparse.ArgumentParser:
    """What can be asked for."""
    from napari_medseg.inference.ranking import STRATEGIES

    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", type=Path, nargs="?", help="small copies that --prepare made")
    made.add_argument("--prepare", type=Path, metavar="OUT", help="make small copies there, and end")
    made.add_argument("--table", type=Path, nargs="+", metavar="FILE", help="print what --out files hold, and end")
    made.add_argument("--data", type=Path, default=Path("../shared/data"), help="where the images lie")
    made.add_argument("--side", type=int, default=192, help="shorter side of the small copies, in pixels")
    made.add_argument("--datasets", nargs="+", default=list(DATASETS), choices=DATASETS)
    made.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    made.add_argument("--seeds", type=int, default=5)
    made.add_argument("--first-seed", type=int, default=0, help="to go on where an earlier call ended")
    made.add_argument("--jobs", type=int, default=1, help="seeds at a time")
    made.add_argument("--device", default="cpu")
    made.add_argument("--start", type=int, default=4, help="images labelled at first")
    made.add_argument("--step", type=int, default=4, help="images labelled in each round")
    made.add_argument("--rounds", type=int, default=5)
    made.add_argument("--steps", type=int, default=250, help="optimiser steps of every training")
    made.add_argument("--width", type=int, default=16, help="channels of the network's finest level")
    made.add_argument("--minutes", type=float, default=600.0, help="start no seed after so many minutes")
    made.add_argument("--out", type=Path, help="JSON with every replay, rewritten as they end")
    return made


def main() -> None:
    """Prepare, or replay and print."""
    args = parser().parse_args()
    if args.prepare is not None:
        prepare(args.data, args.prepare, args.side)
        return
    if args.table is not None:
        kept = [row for path in args.table for row in json.loads(path.read_text("utf-8"))["rows"]]
        print(as_markdown(summarise(kept)))
        return
    options = Options(
        folder=args.folder,
        device=args.device,
        start=args.start,
        step=args.step,
        rounds=args.rounds,
        steps=args.steps,
        width=args.width,
        size=max(32, args.side // 32 * 32),
    )
    strategies = tuple(dict.fromkeys((BASELINE, *args.strategies)))
    # Seed by seed, so that what is done when time is up can be paired.
    tasks = [
        Task(dataset=dataset, strategies=strategies, seed=seed)
        for seed in range(args.first_seed, args.first_seed + args.seeds)
        for dataset in args.datasets
    ]
    deadline = time.time() + 60 * args.minutes
    rows: list[dict[str, Any]] = []
    with multiprocessing.get_context("spawn").Pool(args.jobs) as pool:
        for found in pool.imap_unordered(_run, [(task, options, deadline) for task in tasks]):
            rows += found
            for row in found:
                dice = " ".join(f"{each['dice']:.3f}" for each in row["scores"])
                print(
                    f"{row['dataset']} {row['strategy']} seed {row['seed']}: {dice} ({row['seconds']:.0f} s)",
                    flush=True,
                )
            if args.out is not None:
                settings = {key: str(value) for key, value in vars(args).items()}
                args.out.write_text(
                    json.dumps({"settings": settings, "table": summarise(rows), "rows": rows}, indent=1)
                )
    print(as_markdown(summarise(rows)))


if __name__ == "__main__":
    main()
