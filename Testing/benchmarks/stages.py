"""Seconds and peak memory of every stage, from a CT file to the patient folder.

    python Testing/benchmarks/stages.py [--slices 120] [--threads 2]

The CT is that of a generated child, 512 × 512 pixels. Writes results/stages.md. Generating the child takes a
minute or two; it happens in a process of its own, so that its memory is not counted.
"""

import argparse
import multiprocessing
import tempfile
from pathlib import Path

from common import add_run_options, forget_peak, machine, peak_mib, use_threads, write_child, write_tables

from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.pipelines.slicewise import BATCH_SIZE
from PediatricRenalSegLib.progress import Progress

AGE_YEARS, SEED = 3.0, 1_000_000


class PeakMemory:
    """Peak memory of every stage, told apart by the progress events."""

    def __init__(self):
        self.mib: dict[str, float] = {}
        self.stage = ""

    def __call__(self, event: Progress) -> None:
        if event.stage != self.stage:
            self.finish()
            self.stage = event.stage
            forget_peak()

    def finish(self) -> None:
        if self.stage:
            self.mib[self.stage] = peak_mib()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, default=120)
    parser.add_argument("--batch-size", type=int, default=BATCH_SIZE)
    add_run_options(parser)
    options = parser.parse_args()
    use_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generation = multiprocessing.get_context("spawn").Process(
            target=write_child, args=(folder, AGE_YEARS, SEED, options.slices)
        )
        generation.start()
        generation.join()
        memory = PeakMemory()
        result = segment_case(
            folder / "ct.nii.gz", folder / "result", options.model, options.device, options.batch_size, progress=memory
        )
        memory.finish()
    seconds = result.run.timing_seconds
    rows = [[stage, f"{seconds[stage]:.1f}", f"{memory.mib[stage]:.0f}"] for stage in seconds]
    rows.append(["**all**", f"{sum(seconds.values()):.1f}", f"{max(memory.mib.values()):.0f}"])
    size = " × ".join(map(str, result.ct.image.GetSize()))
    text = (
        f"A generated child of {AGE_YEARS:g} years, {size} voxels, from a .nii.gz file to the patient folder; "
        f"batches of {options.batch_size} slices; model {result.run.model_id}."
    )
    memory_text = (
        "Memory is the peak of the resident set during the stage: what was loaded before (torch, the CT) is part of it."
    )
    write_tables(
        "stages.md",
        "Stage by stage",
        [text, memory_text, machine(options.device)],
        [(["stage", "seconds", "peak MiB"], rows)],
    )


if __name__ == "__main__":
    main()
