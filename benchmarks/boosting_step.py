"""Time and memory of a training step of scheme `boosting`: its second stage against training all levels at once.

Stage 2 of 3+1 computes levels 1 to 3 forwards without a graph, and no gradient of their weights. Beside it the same
network with all levels trained, and two networks of MONAI with about as many weights, for reference. Every arm runs in
a process of its own, in turns, so that whatever else the machine does meets all of them; memory is the highest resident
size of the process over what it had before its first step.

    python benchmarks/boosting_step.py [--width 32] [--side 64] [--batch 1] [--rounds 3] [--threads 1]
        [--device cuda]
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

#: Counted steps of an arm; their fastest stands for it.
STEPS = 2
ARMS = {
    "stage 2 of 3+1": "levels 1 to 3 frozen, level 4 learns",
    "4 levels at once": "the same network, all levels learn",
    "MONAI BasicUNet": "reference",
    "MONAI DynUNet": "reference",
}


def make_network(arm: str, width: int):
    """The network of an arm and the parts of it that are frozen."""
    from monai.networks.nets import BasicUNet, DynUNet

    from napari_medseg.models.boosting import BoostingUNet, grow

    if arm == "MONAI BasicUNet":
        features = (width, width, 2 * width, 3 * width, 4 * width, width)
        return BasicUNet(spatial_dims=3, in_channels=1, out_channels=2, features=features), []
    if arm == "MONAI DynUNet":
        filters = [width, 2 * width, 3 * width, 4 * width]
        strides = [1, 2, 2, 2]
        return DynUNet(3, 1, 2, [3] * 4, strides, strides[1:], filters=filters), []
    network = BoostingUNet(1, 2, [(2, 2, 2)] * 3, width)
    if arm == "4 levels at once":
        return network, []
    grow(BoostingUNet(1, 2, [(2, 2, 2)] * 2, width), network)
    return network, network.parts([1, 2, 3])


def run_arm(arm: str, width: int, side: int, batch: int, threads: int, device: str) -> dict[str, float]:
    """Steps of one arm; the first is not counted in the times. On a GPU its wall time and its own memory count."""
    import torch

    from napari_medseg.losses import sigmoid_dice_loss

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    gpu = device != "cpu"
    network, frozen = make_network(arm, width)
    for part in frozen:
        part.requires_grad_(False)
    network.to(device)
    learning = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(learning)
    images = torch.randn(batch, 1, side, side, side, device=device)
    labels = torch.randint(0, 3, (batch, side, side, side), device=device)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    walls, processors = [], []
    for _ in range(STEPS + 1):
        wall, processor = time.perf_counter(), time.process_time()
        optimiser.zero_grad(set_to_none=True)
        sigmoid_dice_loss(network(images), labels).backward()
        optimiser.step()
        if gpu:
            torch.cuda.synchronize()
        walls.append(time.perf_counter() - wall)
        processors.append(time.process_time() - processor)
    resident = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    return {
        "wall": min(walls[1:]),
        "work": min(walls[1:] if gpu else processors[1:]),
        "memory": torch.cuda.max_memory_allocated() / 2**20 if gpu else resident,
        "parameters": sum(p.numel() for p in network.parameters()),
        "learning": sum(p.numel() for p in learning),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=32, help="kernels of level 1")
    parser.add_argument("--side", type=int, default=64, help="voxels along each axis of a patch")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--arm", choices=list(ARMS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.arm:
        print(json.dumps(run_arm(args.arm, args.width, args.side, args.batch, args.threads, args.device)))
        return
    found: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    for _ in range(args.rounds):
        for arm in ARMS:
            command = [sys.executable, __file__, *sys.argv[1:], "--arm", arm]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
    reference = found["4 levels at once"]
    print("| arm | what | weights | learning | step, s | ratio (CPU time; wall on a GPU) | peak memory, MB | ratio |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for arm, what in ARMS.items():
        runs = found[arm]
        ratio = statistics.median(r["work"] / b["work"] for r, b in zip(runs, reference, strict=True))
        memory = statistics.median(r["memory"] for r in runs)
        against = memory / statistics.median(r["memory"] for r in reference)
        print(
            f"| {arm} | {what} | {runs[0]['parameters'] / 1e6:.2f} M | {runs[0]['learning'] / 1e6:.2f} M | "
            f"{statistics.median(r['wall'] for r in runs):.2f} | {ratio:.2f} | {memory:.0f} | {against:.2f} |"
        )


if __name__ == "__main__":
    main()
