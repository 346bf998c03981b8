"""``slicer.app.coreIOManager()``: loads and saves nodes and scenes through their real storage nodes."""

import os
from pathlib import Path

import slicer
import vtk

from ._types import Node, VtkObject

FILE_TYPES = {
    "SegmentationFile": (".seg.nrrd", ".seg.nhdr", ".seg.vtm"),
    "VolumeFile": (".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm"),
    "ModelFile": (".stl", ".obj", ".ply", ".vtk", ".vtp"),
    "TableFile": (".csv", ".tsv"),
    "TextFile": (".txt", ".json"),
    "SceneFile": (".mrml", ".mrb"),
}
"""Type by the end of the file name; the longest fitting end counts."""

NODE_CLASSES = {
    "SegmentationFile": "vtkMRMLSegmentationNode",
    "ModelFile": "vtkMRMLModelNode",
    "TableFile": "vtkMRMLTableNode",
    "TextFile": "vtkMRMLTextNode",
}

LABELMAP, SINGLE_FILE, AUTO_WINDOW_LEVEL = 1, 4, 8
"""Options of vtkSlicerVolumesLogic::AddArchetypeVolume."""


class CoreIOManager:
    """The part of qSlicerCoreIOManager that ``slicer.util`` calls."""

    def fileType(self, filename: str | os.PathLike) -> str:
        name = str(filename).lower()
        fitting = [(len(end), kind) for kind, ends in FILE_TYPES.items() for end in ends if name.endswith(end)]
        return max(fitting)[1] if fitting else "NoFile"

    def fileWriterFileType(self, node: Node) -> str:
        return "NodeFile"

    def loadNodes(self, file_type: str, properties: dict, loaded: VtkObject, messages: VtkObject) -> bool:
        path = Path(properties["fileName"])
        if not path.exists():
            messages.AddMessage(vtk.vtkCommand.ErrorEvent, f"File not found: {path}")
            return False
        if file_type == "SceneFile":
            return _load_scene(path, properties.get("clear", False))
        node = _load_volume(path, properties) if file_type == "VolumeFile" else _load_node(path, file_type, properties)
        if node is not None:
            loaded.AddItem(node)
        return node is not None

    def saveNodes(self, file_type: str, properties: dict, messages: VtkObject) -> bool:
        path = str(properties["fileName"])
        if file_type == "SceneFile":
            return _save_scene(path)
        node = slicer.mrmlScene.GetNodeByID(properties["nodeID"])
        node.AddDefaultStorageNode(path)
        storage = node.GetStorageNode()
        storage.SetFileName(path)
        storage.SetUseCompression(properties.get("useCompression", True))
        return bool(storage.WriteData(node))

    def addDefaultStorageNodes(self) -> None:
        for node in slicer.util.getNodesByClass("vtkMRMLStorableNode"):
            node.AddDefaultStorageNode()


def _load_volume(path: Path, properties: dict) -> Node:
    options = LABELMAP if properties.get("labelmap") else 0
    options |= SINGLE_FILE if properties.get("singleFile") else 0
    options |= AUTO_WINDOW_LEVEL if properties.get("autoWindowLevel", True) else 0
    name = properties.get("name") or _node_name(path)
    volume = slicer.modules.volumes.logic().AddArchetypeVolume(str(path), name, options)
    if volume is not None and properties.get("show", True):
        slicer.util.setSliceViewerLayers(background=volume, fit=True)
    return volume


def _load_node(path: Path, file_type: str, properties: dict) -> Node:
    node = slicer.mrmlScene.AddNewNodeByClass(NODE_CLASSES[file_type], properties.get("name") or _node_name(path))
    node.AddDefaultStorageNode(str(path))
    storage = node.GetStorageNode()
    storage.SetFileName(str(path))
    if not storage.ReadData(node):
        slicer.mrmlScene.RemoveNode(node)
        return None
    if isinstance(node, slicer.vtkMRMLDisplayableNode):
        node.CreateDefaultDisplayNodes()
    return node


def _node_name(path: Path) -> str:
    return path.name.split(".")[0]


def _load_scene(path: Path, clear: bool) -> bool:
    if path.suffix == ".mrb":
        return bool(slicer.mrmlScene.ReadFromMRB(str(path), clear))
    slicer.mrmlScene.SetURL(str(path))
    return bool(slicer.mrmlScene.Connect() if clear else slicer.mrmlScene.Import())


def _save_scene(path: str) -> bool:
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.SetRootDirectory(os.path.dirname(path))
    return bool(slicer.mrmlScene.WriteToMRB(path) if path.endswith(".mrb") else slicer.mrmlScene.Commit(path))
