from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seglib.device import device_name


def test_processor_is_called_by_its_model() -> None:
    name = device_name(torch.device("cpu"))
    assert name.strip()
    if Path("/proc/cpuinfo").exists() and "model name" in Path("/proc/cpuinfo").read_text():
        assert name in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_is_called_by_its_model() -> None:
    assert device_name(torch.device("cuda")) == torch.cuda.get_device_name()
