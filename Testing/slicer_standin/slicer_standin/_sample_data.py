"""``SampleData``: modules register their sample data; a test can take one as a click on its picture does."""

import types
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import slicer


@dataclass
class SampleDataSource:
    sampleName: str
    sampleDescription: str | None = None
    uris: object = None
    fileNames: object = None
    nodeNames: object = None
    checksums: object = None
    loadFileTypes: object = None
    loadFiles: bool | None = None
    thumbnailFileName: str | None = None
    customDownloader: Callable[["SampleDataSource"], object] | None = None


class SampleDataLogic:
    """Registers sources in ``slicer.modules.sampleDataSources``, by category. Nothing is downloaded."""

    @staticmethod
    def registerCustomSampleDataCategory(category: str, title: str) -> None:
        slicer.modules.sampleDataSources.setdefault(category, [])

    @staticmethod
    def registerCustomSampleDataSource(
        category: str = "Custom",
        sampleName: str = "",
        uris: object = None,
        fileNames: object = None,
        nodeNames: object = None,
        customDownloader: Callable[["SampleDataSource"], object] | None = None,
        thumbnailFileName: str | None = None,
        loadFileType: object = None,
        loadFiles: bool | None = None,
        loadFileProperties: object = None,
        checksums: object = None,
    ) -> None:
        source = SampleDataSource(
            sampleName=sampleName,
            uris=uris,
            fileNames=fileNames,
            nodeNames=nodeNames,
            checksums=checksums,
            loadFileTypes=loadFileType,
            loadFiles=loadFiles,
            thumbnailFileName=thumbnailFileName,
            customDownloader=customDownloader,
        )
        slicer.modules.sampleDataSources.setdefault(category, []).append(source)

    def downloadSamples(self, sampleName: str) -> object:
        """What the ``customDownloader`` of a source returns."""
        sources = (source for group in slicer.modules.sampleDataSources.values() for source in group)
        found = next((source for source in sources if source.sampleName == sampleName), None)
        if found is None or found.customDownloader is None:
            raise RuntimeError(f"no sample data {sampleName!r} that is made on this computer")
        return found.customDownloader(found)


def make_sample_data_module() -> types.ModuleType:
    module: Any = types.ModuleType("SampleData", "sample data of Slicer")
    module.SampleDataLogic = SampleDataLogic
    module.SampleDataSource = SampleDataSource
    return module
