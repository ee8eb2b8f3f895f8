"""Speed metrics by hand, and the peaks of known devices."""

import pytest
import torch

from corea.config import TrainerConfig
from corea.gpus import GPUS, known_gpu
from corea.rl.run.device_use import peak_flops, speed_metrics
from corea.rl.run.phase_timer import PhaseTimer


def test_the_share_of_the_peak_by_hand():
    seconds = {"logprobs": 1.0, "update": 3.0}
    # 8 TFLOP in 4 s are 2 TFLOP/s, a fifth of 10
    found = speed_metrics(8e12, 600.0, seconds, 6.0, 1e13)
    assert found == {"speed/tokens_per_s_gpu": 100.0, "speed/update_tflops": 2.0, "speed/mfu": 0.2}
    assert "speed/mfu" not in speed_metrics(8e12, 600.0, seconds, 6.0, None)
    assert speed_metrics(0.0, 600.0, seconds, 6.0, 1e13) == {"speed/tokens_per_s_gpu": 100.0}


def test_a_peak_is_known_only_on_a_gpu_or_where_it_is_given():
    assert peak_flops(torch.float32, 0.5) == 5e11
    if not torch.cuda.is_available():
        assert peak_flops(torch.bfloat16, None) is None


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100_pcie"),
        ("NVIDIA H100 NVL", "h100_nvl"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100-SXM4-40GB", "a100_40gb"),
        ("NVIDIA A100-PCIE-40GB", "a100_40gb"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA A10", "a10"),
        ("AMD Instinct MI300X", "mi300x"),
    ],
)
def test_names_of_drivers_are_found_in_the_table(device, name):
    assert known_gpu(device) is GPUS[name]


@pytest.mark.parametrize("device", ["NVIDIA L40", "NVIDIA A10G", "NVIDIA GH200 480GB", "Tesla T4"])
def test_other_devices_have_no_peak(device):
    assert known_gpu(device) is None


class Scripted:
    """A meter whose peaks are given."""

    def __init__(self, *peaks):
        self.peaks, self.starts = list(peaks), 0

    def start(self):
        self.starts += 1

    def peak_bytes(self):
        return self.peaks.pop(0) * 2.0**30


def test_each_phase_has_its_own_peak_until_the_next_step():
    timer = PhaseTimer(Scripted(1, 3, 2))
    for phase in ("rollout", "update", "rollout"):
        with timer.measure(phase):
            pass
    assert timer.memory_metrics() == {"memory/rollout_gib": 2.0, "memory/update_gib": 3.0}
    assert timer.meter.starts == 3
    timer.reset()
    assert timer.memory_metrics() == {}


@pytest.mark.parametrize("steps", [[], [0], [5, 3], [1, 2, 3]])
def test_wrong_steps_to_profile_are_refused(steps):
    with pytest.raises(ValueError, match=r"trainer\.profile=.*: allowed is one step or two, the first and the last"):
        TrainerConfig(profile=steps)


def test_steps_to_profile_are_steps_of_the_run():
    assert TrainerConfig(profile=[100]).profile == [100]
    with pytest.raises(ValueError, match=r"trainer\.profile=\[3, 101\]: allowed is steps up to trainer\.steps=100"):
        TrainerConfig(profile=[3, 101])
