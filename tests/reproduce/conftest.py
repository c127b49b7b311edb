"""Three pictures and a bench of canned answers on them, made once for all tests of this folder."""

from pathlib import Path

import pytest
import torch

from glintbox.reproduce.bench import Bench
from tests.reproduce.made import bench, three_pictures


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return three_pictures(tmp_path_factory.mktemp("three") / "coco")


@pytest.fixture(scope="session")
def made(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    torch.set_num_threads(1)
    return bench(folder, tmp_path_factory.mktemp("work"))
