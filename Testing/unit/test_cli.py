"""The real command line: exit codes, messages, progress, cancel."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from abdomens import abdomen
from tiny_models import untrained_pipeline, write_model

import PediatricRenalSegLib
from PediatricRenalSegLib import case, cli
from PediatricRenalSegLib.checks import CheckWarning
from PediatricRenalSegLib.cli import information, segmenting, training
from PediatricRenalSegLib.models.catalogue import catalogue
from PediatricRenalSegLib.pipelines.slicewise import BATCH_SIZE
from PediatricRenalSegLib.structures import RENAL

COMMAND = [sys.executable, "-m", "PediatricRenalSegLib.cli"]
LIBRARY = str(Path(PediatricRenalSegLib.__file__).parent.parent)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [LIBRARY, os.environ.get("PYTHONPATH")]))}
"""The command line of this checkout, whether it is installed or not."""
TIMEOUT_S = 120
DONE, WRONG_INPUT, CANCELLED = 0, 2, 130
FILES = {"labelmap.nii.gz", "segmentation.seg.nrrd", "report.json", "preview.png", "models"}


def run(*arguments):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=ENVIRONMENT)


def started(*arguments):
    """A command under way, whose events are read while it runs."""
    return subprocess.Popen(
        [*COMMAND, *map(str, arguments), "--progress", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )


def assert_refused(result, words):
    assert result.returncode == WRONG_INPUT, result.stderr
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and words in lines[0], result.stderr


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A small CT and an untrained model: the commands are tested here, not the segmentation."""
    folder = tmp_path_factory.mktemp("files")
    abdomen(shape=(8, 64, 64), spacing=(8.0, 3.0, 3.0)).write(folder / "ct.nrrd")
    write_model(folder / "model.pt")
    return folder


def segment(files, output, *options):
    return run(
        "segment", files / "ct.nrrd", "--output", output, "--model", files / "model.pt", "--device", "cpu", *options
    )


# Segment


def test_segment_with_json_progress(files, tmp_path):
    result = segment(files, tmp_path / "out", "--progress", "json", "--batch-size", "3")
    assert result.returncode == DONE, result.stderr
    assert FILES <= {path.name for path in (tmp_path / "out").iterdir()}
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert all(set(event) == {"stage", "done", "total", "seconds_left"} for event in events)
    stages = list(dict.fromkeys(event["stage"] for event in events))
    assert stages == ["model", "read", "preprocess", "network", "postprocess", "surfaces", "measure", "write"]
    slices = [event["done"] for event in events if event["stage"] == "network" and event["total"] == 8]
    assert slices == [0, 3, 6, 8]
    assert "must be reviewed by a physician" in result.stderr


@pytest.mark.slow
def test_slicer_lacks_nothing_but_torch(files, tmp_path):
    """Slicer's worker runs these commands with ``--progress json`` and without the packages blocked here."""
    outside = ["skimage", "tqdm", "monai", "tensorboard", "matplotlib", "trimesh"]
    call = ["segment", files / "ct.nrrd", "--output", tmp_path / "out", "--model", files / "model.pt"]
    call += ["--device", "cpu", "--progress", "json"]
    script = f"""
import sys
sys.modules.update(dict.fromkeys({outside}))
from PediatricRenalSegLib import cli
sys.exit(cli.main({list(map(str, call))}))
"""
    result = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT_S, env=ENVIRONMENT
    )
    assert result.returncode == DONE, result.stderr
    assert (tmp_path / "out" / "preview.png").is_file()


@pytest.mark.slow
def test_lines_say_what_was_read_and_what_to_check(files, tmp_path):
    result = segment(files, tmp_path / "out")
    assert result.returncode == DONE, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert ".nrrd file: 64 × 64 × 8 voxels" in report["input"] and "input" not in report["parameters"]
    assert [line for line in result.stdout.splitlines() if report["input"] in line] == [f"input: {report['input']}"]
    checks = [line.removeprefix("Check: ") for line in result.stderr.splitlines() if line.startswith("Check: ")]
    assert checks and checks == [warning["text"] for warning in report["warnings"]]


def test_doubts_about_sides_reach_the_surgeon(files, tmp_path, monkeypatch, capsys):
    doubt = CheckWarning("side_uncertain", "Check both sides.")
    monkeypatch.setattr(case, "split_segments", lambda labels, *_: (np.zeros_like(labels), ["1 speck"], [doubt]))
    out = tmp_path / "out"
    call = ["segment", files / "ct.nrrd", "--output", out, "--model", files / "model.pt", "--device", "cpu"]
    assert cli.main(list(map(str, call))) == DONE
    assert "Check: Check both sides." in capsys.readouterr().err.splitlines()
    report = json.loads((out / "report.json").read_text())
    assert [warning["code"] for warning in report["warnings"]] == ["side_uncertain", "none_found", "none_found"]
    assert report["notes"] == ["1 speck"]


@pytest.mark.slow
def test_mesh_formats(files, tmp_path):
    result = segment(files, tmp_path / "out", "--mesh", "glb", "--mesh", "ply", "--progress", "json")
    assert result.returncode == DONE, result.stderr
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["parameters"]["writers"][-2:] == ["glb", "ply"] and report["parameters"]["batch_size"] == BATCH_SIZE
    if report["measurements"]["segments"]:
        assert {path.suffix for path in (tmp_path / "out" / "models").iterdir()} == {".glb", ".ply"}
    for option, kind in (("--mesh", "vrml"), ("--mesh", "labelmap"), ("--write", "vrml")):
        result = segment(files, tmp_path / "other", option, kind)
        assert_refused(result, f"argument {option}: invalid choice: '{kind}'")


@pytest.mark.slow
def test_parent_that_is_a_file_is_refused_before_the_work(files):
    result = segment(files, files / "ct.nrrd" / "out")
    assert_refused(result, "ct.nrrd is a file: choose another folder")
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; check"),
        (PermissionError(errno.EACCES, "Permission denied", "a.nii.gz"), "a.nii.gz: Permission denied; check"),
        (OSError("a.nii.gz could not be written completely"), "a.nii.gz could not be written completely; check"),
    ],
)
def test_failing_disk_is_one_line(monkeypatch, capsys, error, line):
    def fail(_):
        raise error

    monkeypatch.setattr(information, "_models", fail)
    assert cli.main(["models"]) == WRONG_INPUT
    assert capsys.readouterr().err == f"pediatric-renal-seg: {line} your access rights and the space left.\n"


@pytest.mark.parametrize(
    ("family", "command", "line"),
    [
        (segmenting, ["segment", "ct", "--output", "out"], "cancelled; no result was written."),
        (segmenting, ["demo"], "cancelled; no result was written."),
        (training, ["train", "training.json"], "stopped; the same command goes on from the last epoch."),
        (information, ["models"], "cancelled."),
    ],
)
def test_each_command_says_what_a_cancel_left(monkeypatch, capsys, family, command, line):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(family, f"_{command[0]}", stop)
    assert cli.main(command) == CANCELLED
    assert capsys.readouterr().err == f"pediatric-renal-seg: {line}\n"


@pytest.fixture(autouse=True)
def same_signals_afterwards():
    """``cli.main`` changes what SIGTERM does."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_existing_result_needs_overwrite(files, tmp_path):
    out = tmp_path / "out"
    assert segment(files, out).returncode == DONE
    written = (out / "report.json").stat().st_mtime_ns
    assert_refused(segment(files, out), "exists already")
    assert (out / "report.json").stat().st_mtime_ns == written
    assert segment(files, out, "--overwrite").returncode == DONE
    assert (out / "report.json").stat().st_mtime_ns > written
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "words"),
    [("absent.nii.gz", "absent.nii.gz"), ("model.pt", "model.pt"), ("air.nrrd", "air.nrrd")],
    ids=["absent", "no image", "no body"],
)
def test_wrong_input_is_one_line(files, tmp_path, source, words):
    air = sitk.GetImageFromArray(np.full((8, 32, 32), -1000, np.int16))
    sitk.WriteImage(air, str(files / "air.nrrd"))
    result = run("segment", files / source, "--output", tmp_path / "out", "--model", files / "model.pt")
    assert_refused(result, words)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_unknown_model_is_one_line(files, tmp_path):
    assert_refused(
        run("segment", files / "ct.nrrd", "--output", tmp_path / "out", "--model", "nobody"), "No model 'nobody'"
    )


@pytest.mark.parametrize(
    "arguments", [[], ["segment"], ["segment", "ct", "--output", "out", "--batch-size", "0"], ["nonsense"]]
)
def test_wrong_call(arguments):
    assert run(*arguments).returncode == WRONG_INPUT


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_cancel(tmp_path, number):
    """Signal in the middle of the slices; nothing may remain of the run."""
    ct = abdomen(shape=(100, 64, 64), spacing=(3.0, 3.0, 3.0)).write(tmp_path / "ct.nrrd")
    model = write_model(tmp_path / "model.pt", untrained_pipeline("full", features=8))
    before = sorted(tmp_path.rglob("*"))
    arguments = ["segment", ct, "--output", tmp_path / "out", "--model", model, "--device", "cpu"]
    process = started(*arguments, "--batch-size", "1")
    assert process.stdout is not None and process.stderr is not None, "both are pipes"
    for line in process.stdout:
        event = json.loads(line)
        if event["stage"] == "network" and event["done"] == 2:
            process.send_signal(number)
    errors = process.stderr.read()
    assert process.wait(TIMEOUT_S) == CANCELLED, errors
    assert event["stage"] == "network" and event["done"] < 100
    assert errors.splitlines() == ["pediatric-renal-seg: cancelled; no result was written."]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["model", "surfaces", "write"])
def test_second_signal_does_not_disturb_the_cleaning_up(files, tmp_path, stage):
    arguments = ["segment", files / "ct.nrrd", "--output", tmp_path / "out", "--model", files / "model.pt"]
    process = started(*arguments, "--device", "cpu")
    assert process.stdout and process.stderr
    for line in process.stdout:
        if json.loads(line)["stage"] == stage:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
            process.send_signal(signal.SIGINT)
    errors = process.stderr.read()
    assert process.wait(TIMEOUT_S) == CANCELLED, errors
    assert errors.splitlines() == ["pediatric-renal-seg: cancelled; no result was written."]
    assert list(tmp_path.iterdir()) == []


# Other commands


@pytest.mark.slow
def test_models():
    result = run("models")
    assert result.returncode == DONE, result.stderr
    for entry in catalogue():
        assert entry.id in result.stdout
    assert "trained on:" in result.stdout and "limits:" in result.stdout


@pytest.mark.slow
def test_evaluate(tmp_path):
    child = abdomen()
    shifted = np.roll(child.labels, 2, axis=2)
    paths = [
        write_labels(tmp_path / name, labels) for name, labels in (("a.nii.gz", child.labels), ("b.nii.gz", shifted))
    ]
    result = run("evaluate", *paths, "--compare", paths[0], "--csv", tmp_path / "scores.csv")
    assert result.returncode == DONE, result.stderr
    scores, _, comparison = result.stdout.split("\n\n")
    for line, label in zip(scores.splitlines()[1:], (1, 2), strict=True):
        one, other = child.labels == label, shifted == label
        assert line.split()[1] == f"{2 * (one & other).sum() / (one.sum() + other.sum()):.3f}"
    assert comparison.startswith("second minus first")
    assert len((tmp_path / "scores.csv").read_text().splitlines()) == 1 + 2 * 2


@pytest.mark.slow
def test_prepare(tmp_path):
    child = abdomen()
    (tmp_path / "ct").mkdir()
    child.write(tmp_path / "ct" / "Anna.nrrd")
    assert_refused(run("prepare", tmp_path / "ct", tmp_path / "store"), "is no data set")
    folders = [tmp_path / "nnunet" / name for name in ("imagesTr", "labelsTr")]
    for folder in folders:
        folder.mkdir(parents=True)
    description = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "kidney": 1, "mass": 2}}
    (tmp_path / "nnunet" / "dataset.json").write_text(json.dumps(description))
    child.write(folders[0] / "Anna_0000.nii.gz")
    empty = write_labels(folders[1] / "Anna.nii.gz", 0 * child.labels, child.spacing)
    call = "prepare", tmp_path / "nnunet", tmp_path / "store"
    result = run(*call)
    assert result.returncode == WRONG_INPUT and "left out: Anna: No voxel is labeled" in result.stdout
    assert "No patient of" in result.stderr
    write_labels(empty, child.labels, child.spacing)
    result = run(*call, "--labels", "mass=tumor")
    assert result.returncode == DONE, result.stderr
    assert "In the store: 1 for training, 0 for validation" in result.stdout
    assert (tmp_path / "store" / "Anna.npz").is_file()


@pytest.mark.slow
def test_evaluate_on_different_grids_is_one_line(tmp_path):
    labels = abdomen().labels
    result = run("evaluate", write_labels(tmp_path / "a.nrrd", labels), write_labels(tmp_path / "b.nrrd", labels[1:]))
    assert_refused(result, "different grids")


def write_labels(path: Path, labels: np.ndarray, spacing=(1.0, 1.0, 1.0)) -> Path:
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(path))
    return path


@pytest.mark.slow
def test_training_without_configuration_is_one_line(tmp_path):
    assert_refused(run("train", tmp_path / "absent.json"), "No training configuration")


@pytest.mark.slow
def test_export_without_training_is_one_line(tmp_path):
    assert_refused(run("export", tmp_path, tmp_path / "card.json", "--output", tmp_path / "model.pt"), "checkpoint.pt")


@pytest.mark.slow
def test_demo(tmp_path):
    """The main job on a generated child with the shipped model."""
    out = tmp_path / "demo"
    result = run("demo", "--output", out, "--age", "0.5", "--device", "cpu")
    assert result.returncode == DONE, result.stderr
    assert FILES <= {path.name for path in (out / "result").iterdir()}
    ct, labels = (sitk.ReadImage(str(out / name)) for name in ("ct.nii.gz", "result/labelmap.nii.gz"))
    assert labels.GetSize() == ct.GetSize()
    assert set(np.unique(sitk.GetArrayViewFromImage(labels))) == {0, *(row.label for row in RENAL)}
    assert_refused(run("demo", "--output", out, "--age", "0.5"), "exists already")


@pytest.mark.parametrize("name", ["ct.nii.gz", "reference.nii.gz", "result"])
def test_demo_overwrites_nothing_unasked(tmp_path, name):
    out = tmp_path / "demo"
    if name == "result":
        (out / name).mkdir(parents=True)
    else:
        out.mkdir()
        (out / name).write_text("mine")
    assert_refused(run("demo", "--output", out), f"{name} exists already")
    assert [path.name for path in out.iterdir()] == [name]


def test_demo_keeps_a_folder_of_other_files(tmp_path):
    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "thesis.txt").write_text("mine")
    assert_refused(run("demo", "--output", tmp_path, "--overwrite"), "holds other files")
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("age", ["-1", "40"])
def test_demo_age_is_checked(tmp_path, age):
    assert_refused(run("demo", "--output", tmp_path / "demo", "--age", age), "choose an age from 0 to 16")
