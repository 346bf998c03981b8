"""Devices, batches, memory, progress, cancel, and which model files are taken."""

import time

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from abdomens import abdomen
from tiny_models import CLASSES, make_catalogue, metadata, shipped_model, untrained_pipeline, write_model

from PediatricRenalSegLib.body import body_mask
from PediatricRenalSegLib.case import segment_case
from PediatricRenalSegLib.devices import choose_device
from PediatricRenalSegLib.errors import Cancelled, InputError
from PediatricRenalSegLib.models.bundle import METADATA, file_sha256
from PediatricRenalSegLib.models.catalogue import catalogue, load_model
from PediatricRenalSegLib.pipelines.canvas import DEFAULT_CANVAS, CanvasGrid, SliceStack, preprocess
from PediatricRenalSegLib.pipelines.load import load_pipeline
from PediatricRenalSegLib.pipelines.slicewise import SlicewisePipeline, neighbor_sigma, run_network, to_axial
from PediatricRenalSegLib.progress import Progress
from PediatricRenalSegLib.reading import read_ct
from PediatricRenalSegLib.structures import StructureSet
from PediatricRenalSegLib.synthetic import training_scan
from PediatricRenalSegLib.volume import CTVolume

CPU = torch.device("cpu")
SIZE = 16
AGE_YEARS = 2.0
IDENTITY = torch.tensor([[1.0, 0, 0], [0, 1, 0]])


class SliceNetwork(torch.nn.Module):
    """Says a slice's own mean as the probability of class 1; what it saw can be told from what comes out."""

    def __init__(self, seconds_a_slice=0.0):
        super().__init__()
        self.seconds_a_slice = seconds_a_slice
        self.batches = []

    def forward(self, image, mask):
        self.batches.append(len(image))
        time.sleep(self.seconds_a_slice * len(image))
        kidney = image.mean(dim=(2, 3), keepdim=True).expand(-1, -1, SIZE, SIZE)
        matrices = IDENTITY.expand(len(image), 2, 3)
        return torch.cat([1 - kidney, kidney, 0 * kidney], dim=1), matrices, matrices


class HungryNetwork(SliceNetwork):
    """Runs out of memory above ``limit`` slices."""

    def __init__(self, limit, error):
        super().__init__()
        self.limit, self.error = limit, error

    def forward(self, image, mask):
        if len(image) > self.limit:
            self.batches.append(-len(image))
            raise self.error
        return super().forward(image, mask)


def stack(count):
    """Slice ``i`` has the value ``i / count`` throughout."""
    images = np.repeat(np.arange(count, dtype=np.float32) / count, SIZE * SIZE).reshape(count, SIZE, SIZE)
    body = np.ones((count, SIZE, SIZE), bool)
    return SliceStack(images, body.astype(np.uint8), CanvasGrid(SIZE, 1.0, (0.0, 0.0), body.shape, (1.0, 1.0, 1.0)))


def found(probabilities):
    return probabilities[:, 1, 0, 0]


# Devices


def test_automatic_device_is_one_that_is_present():
    assert choose_device("auto") == choose_device(choose_device("auto").type)
    assert choose_device("cpu") == CPU


def test_unknown_device_is_refused():
    with pytest.raises(InputError, match="Unknown device 'tpu': choose auto, cpu, cuda or mps"):
        choose_device("tpu")


def test_absent_device_is_refused():
    absent = [
        name
        for name, here in (("cuda", torch.cuda.is_available()), ("mps", torch.backends.mps.is_available()))
        if not here
    ]
    assert absent, "no machine has both"
    with pytest.raises(InputError, match=f"'{absent[0]}' was asked for, but PyTorch finds none"):
        choose_device(absent[0])


# Batches


@pytest.mark.parametrize("batch_size", [1, 3, 8, 16, 11])
def test_every_slice_once_and_in_order(batch_size):
    network = SliceNetwork()
    probabilities = run_network(network, stack(11), CPU, batch_size)
    np.testing.assert_allclose(found(probabilities), np.arange(11) / 11, atol=1e-3)
    assert sum(network.batches) == 11 and max(network.batches) == min(batch_size, 11)
    assert probabilities.shape == (11, CLASSES, SIZE, SIZE)


def test_probabilities_hardly_depend_on_the_batch_size():
    phantom = preprocessed_phantom()
    network = torch.jit.script(untrained_pipeline())
    one = run_network(network, phantom, CPU, 1)
    for batch_size in (3, 8, 16, len(phantom.images)):
        many = run_network(network, phantom, CPU, batch_size)
        assert np.abs(many.astype(np.float32) - one).max() < 0.02


@pytest.mark.slow
def test_label_maps_do_not_depend_on_the_batch_size():
    """With the shipped model on a generated child: no tie may be decided by the batch that a slice came in."""
    model = shipped_model()
    child, _ = training_scan(AGE_YEARS, seed=0, slices=20, matrix=160).to_sitk()
    ct = CTVolume(child, "child")
    body = body_mask(*ct.axial())
    maps = [
        SlicewisePipeline(model, CPU, batch_size).predict(ct, body).labels
        for batch_size in (1, 3, 8, 16, child.GetDepth())
    ]
    assert maps[0].any()
    for other in maps[1:]:
        np.testing.assert_array_equal(other, maps[0])


def preprocessed_phantom():
    phantom = abdomen((18, 96, 96), (6.0, 2.0, 2.0))
    image = sitk.GetImageFromArray(phantom.image)
    image.SetSpacing(phantom.spacing[::-1])
    ct = CTVolume(image, "phantom")
    return preprocess(ct, body_mask(*ct.axial()), DEFAULT_CANVAS, metadata().normalization)


# Neighbors


def test_neighboring_slices_fill_a_missed_one_and_outvote_a_lone_one():
    probabilities = np.zeros((9, 3, 16, 16), np.float16)
    probabilities[:, 1, :4, :4] = 0.9
    probabilities[4, 1, :4, :4] = 0  # missed in one slice
    probabilities[4, 2, 10:14, 10:14] = 0.9  # seen in one slice alone
    probabilities[:, 0] = 1 - probabilities[:, 1:].sum(axis=1)
    labels = channels_of(probabilities, (2.0, 16.0, 16.0))
    assert (labels[:, :4, :4] == 1).all() and (labels[:, 4:] == 0).all()


def test_a_small_body_has_the_labels_of_a_large_one():
    probabilities = np.random.default_rng(0).dirichlet((1, 1, 1), (9, 16, 16)).transpose(0, 3, 1, 2)
    large, small = (
        channels_of(probabilities, tuple(size * mm for mm in (5.0, 20.0, 20.0)))
        for size in (1.0, 0.35)
    )
    assert len(np.unique(large)) == 3
    np.testing.assert_array_equal(small, large)


def channels_of(probabilities, spacing):
    """On slices that are body all over; the canvas lies on the array."""
    shape = (len(probabilities), *probabilities.shape[2:])
    grid = CanvasGrid(shape[1], spacing[1], (0.0, 0.0), shape, spacing)
    return to_axial(probabilities, grid, neighbor_sigma(np.ones(shape, bool), grid))[0]


# Memory


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"),
        RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
    ],
)
def test_batch_is_halved_when_memory_runs_out(error):
    network = HungryNetwork(3, error)
    events: list[Progress] = []
    probabilities = run_network(network, stack(7), CPU, 8, events.append)
    assert network.batches == [-7, -4, 2, 2, 2, 1]
    np.testing.assert_allclose(found(probabilities), np.arange(7) / 7, atol=1e-3)
    assert [event.done for event in events] == [0, 2, 4, 6, 7]


def test_too_little_memory_for_one_slice_is_refused():
    with pytest.raises(InputError, match="Not even one slice"):
        run_network(HungryNetwork(0, torch.cuda.OutOfMemoryError("CUDA out of memory.")), stack(4), CPU, 4)


def test_other_errors_are_not_swallowed():
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        run_network(
            HungryNetwork(2, RuntimeError("mat1 and mat2 shapes cannot be multiplied")), stack(4), CPU, 4
        )


# Progress and cancel


def test_progress_counts_and_time_left():
    seconds = 0.02
    events: list[Progress] = []
    run_network(SliceNetwork(seconds), stack(10), CPU, 4, events.append)
    assert [(event.stage, event.done, event.total) for event in events] == [("network", n, 10) for n in (0, 4, 8, 10)]
    assert events[0].seconds_left is None and events[-1].seconds_left == 0
    after_four, after_eight = (event.seconds_left for event in events[1:-1])
    assert after_four is not None and after_eight is not None
    assert after_four >= seconds * 6 and after_eight >= seconds * 2
    assert after_four > after_eight


def test_cancel_stops_before_the_next_batch():
    network = SliceNetwork()

    def cancel_after_four(event):
        if event.done >= 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        run_network(network, stack(10), CPU, 2, cancel_after_four)
    assert network.batches == [2, 2]


@pytest.mark.parametrize("stage", ["model", "read", "network", "surfaces", "write"])
def test_cancelled_case_writes_nothing(tmp_path, empty_catalogue, stage):
    ct = abdomen(shape=(6, 64, 64), spacing=(8.0, 3.0, 3.0)).write(tmp_path / "ct.nrrd")
    model = write_model(tmp_path / "model.pt")
    before = sorted(tmp_path.rglob("*"))

    def cancel(event):
        if event.stage == stage and (stage != "network" or event.done):
            raise Cancelled

    with pytest.raises(Cancelled):
        segment_case(ct, tmp_path / "result", str(model), "cpu", progress=cancel)
    assert sorted(tmp_path.rglob("*")) == before


# Model files


@pytest.fixture
def empty_catalogue(tmp_path_factory, monkeypatch):
    make_catalogue(tmp_path_factory.mktemp("models"), monkeypatch, [])


def entry(path, **changes):
    return {"id": "first", "file": path.name, "sha256": file_sha256(path), "bytes": path.stat().st_size, **changes}


def test_shipped_model_by_id_or_by_default(tmp_path, monkeypatch):
    path = write_model(tmp_path / "model.pt", id="first")
    make_catalogue(tmp_path, monkeypatch, [entry(path)])
    for name in ("first", None):
        loaded = load_model(name, CPU)
        assert loaded.metadata == metadata(id="first") and loaded.sha256 == file_sha256(path)


def test_shipped_file_with_another_sha256_is_refused(tmp_path, monkeypatch):
    path = write_model(tmp_path / "model.pt")
    make_catalogue(tmp_path, monkeypatch, [entry(path, sha256="0" * 64)])
    with pytest.raises(InputError, match="model.pt is damaged"):
        load_model("first", CPU)


@pytest.mark.parametrize("content", [b"", b"not a model", "cut"], ids=["empty", "text", "cut"])
def test_corrupt_file_is_refused(tmp_path, empty_catalogue, content):
    path = write_model(tmp_path / "model.pt")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content == "cut" else content)
    with pytest.raises(InputError, match="not a TorchScript model or is damaged"):
        load_model(str(path), CPU)


def test_file_without_metadata_is_refused(tmp_path, empty_catalogue):
    path = tmp_path / "model.pt"
    torch.jit.script(untrained_pipeline()).save(path)
    with pytest.raises(InputError, match="holds no metadata.json"):
        load_model(str(path), CPU)


def test_unknown_name_is_refused(empty_catalogue):
    with pytest.raises(InputError, match="No model 'nobody'"):
        load_model("nobody", CPU)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"channels": ("background", "kidney", "spleen")}, "channels are background, kidney, spleen, but must be"),
        ({"channels": ("background", "kidney")}, "each of its structures once"),
        ({"channels": ("background",), "structures": StructureSet(())}, "each of its structures once"),
        ({"channels": ("kidney", "background", "tumor")}, "must be background and then"),
        ({"channels": ("background", "kidney", "kidney", "tumor")}, "each of its structures once"),
        ({"kind": "telepathy"}, "of the kind 'telepathy', which this version does not know"),
        ({"format": 99}, "not of format"),
    ],
)
def test_wrong_metadata_are_refused(tmp_path, empty_catalogue, changes, words):
    path = write_model(tmp_path / "model.pt", **changes)
    with pytest.raises(InputError, match=words):
        load_pipeline(str(path), "cpu")


@pytest.mark.parametrize("text", ["{", "[]", '{"format": 1}'], ids=["no JSON", "no object", "incomplete"])
def test_broken_metadata_are_refused(tmp_path, empty_catalogue, text):
    path = tmp_path / "model.pt"
    torch.jit.save(torch.jit.script(untrained_pipeline()), path, _extra_files={METADATA: text})
    with pytest.raises(InputError, match="metadata"):
        load_model(str(path), CPU)


def test_metadata_read_back(tmp_path, empty_catalogue):
    path = write_model(tmp_path / "model.pt", scores={"generated": {"kidney": 0.9, "tumor": 0.8}})
    loaded = load_model(str(path), CPU)
    assert loaded.metadata == metadata(scores={"generated": {"kidney": 0.9, "tumor": 0.8}})
    images = torch.zeros(1, 1, 256, 256)
    assert loaded.network(images, images)[0].shape == (1, CLASSES, 256, 256)


def test_shipped_models_are_what_the_catalogue_says():
    for shipped in catalogue():
        assert shipped.path.stat().st_size == shipped.bytes
        loaded = load_model(shipped.id, CPU)
        assert loaded.metadata.id == shipped.id and loaded.metadata.license and loaded.metadata.training_domain


@pytest.mark.slow
def test_shipped_model_runs_on_a_file(tmp_path):
    ct = abdomen(shape=(8, 80, 80), spacing=(10.0, 2.5, 2.5)).write(tmp_path / "ct.nrrd")
    result = segment_case(ct, tmp_path / "result", device="cpu")
    assert result.labels.image.GetSize() == read_ct(ct).image.GetSize()
    assert (tmp_path / "result" / "report.json").is_file()
