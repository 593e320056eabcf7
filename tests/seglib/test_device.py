from __future__ import annotations

from pathlib import Path

import pytest
import torch

from seglib.device import auto_precision, choose_dtype, device_name
from seglib.processor import has_fast_bf16


def test_processor_is_called_by_its_model() -> None:
    name = device_name(torch.device("cpu"))
    assert name.strip()
    if Path("/proc/cpuinfo").exists() and "model name" in Path("/proc/cpuinfo").read_text():
        assert name in Path("/proc/cpuinfo").read_text()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_gpu_is_called_by_its_model() -> None:
    assert device_name(torch.device("cuda")) == torch.cuda.get_device_name()


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="only Linux tells")
def test_bf16_is_chosen_on_processors_that_multiply_it() -> None:
    known = torch.cpu.get_capabilities()
    has = bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    assert has_fast_bf16() == has
    assert choose_dtype("auto", torch.device("cpu")) == (torch.bfloat16 if has else torch.float32)


@pytest.mark.parametrize(
    ("capability", "name"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")]
)
def test_gpu_that_only_emulates_bf16_takes_fp16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], name: str
) -> None:
    """A T4 is of 7.5: torch lets it have bfloat16, and converts each number."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    monkeypatch.setattr(torch.version, "hip", None)
    assert auto_precision(torch.device("cuda")) == name


@pytest.mark.parametrize("fast", [True, False])
def test_precision_that_is_asked_for_is_not_chosen(
    fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("seglib.device.has_fast_bf16", lambda: fast)
    cpu = torch.device("cpu")
    assert choose_dtype("fp32", cpu) == torch.float32
    assert choose_dtype("bf16", cpu) == torch.bfloat16
    assert choose_dtype("auto", cpu) == (torch.bfloat16 if fast else torch.float32)
