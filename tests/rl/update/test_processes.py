"""Two real processes over gloo, at every ZeRO stage: the same gradients as one process without DeepSpeed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from corea.config import LossConfig
from rl_models import add_expected_rewards, plain_update, random_llama, random_rows, state_numbers, trainer_config
from warm_python import run_two_ranks

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory, warm_python):
    folder = tmp_path_factory.mktemp("two")
    run_two_ranks(warm_python, HERE / "two_processes.py", folder)
    return folder, torch.load(folder / "results.pt", weights_only=True)


STAGES = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def expected():
    """Gradients of one process in plain torch."""
    return plain_update(random_llama(), random_rows(), trainer_config(loss=LossConfig()), steps=1)


@pytest.mark.parametrize("stage", STAGES)
def test_gradients_are_those_of_one_process(results, expected, stage):
    scale = max(g.abs().max() for g in expected).item()
    for found in results[1][stage]:  # both ranks hold the whole gradient
        for one, other in zip(found["gradients"], expected, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("stage", [1, 2, 3])  # stage 0 was run with a KL term
def test_the_gradient_of_an_expected_reward_is_that_of_one_process(results, stage):
    model = random_llama()
    add_expected_rewards(model, state_numbers(random_rows())[:12], temperature=1.0)
    scale = max(p.grad.abs().max() for p in model.parameters()).item()
    for found in results[1][stage]:
        for one, other in zip(found["stated"], model.parameters(), strict=True):
            torch.testing.assert_close(one, other.grad, rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize("stage", STAGES)
def test_updates_agree_between_the_ranks_and_the_stages(results, stage):
    first, second = (found["updates"] for found in results[1][stage])
    tokens = sum(len(r.token_ids) for r in random_rows())
    for one, two, base in zip(first, second, results[1][1][0]["updates"], strict=True):
        assert one["tokens"] + two["tokens"] == tokens
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-6)
        if stage:  # stage 0 was run with a KL term
            assert one["grad_norm"] == pytest.approx(base["grad_norm"], rel=1e-4)
            assert one["loss"] == pytest.approx(base["loss"], abs=1e-4)


@pytest.mark.parametrize("stage", STAGES)
def test_what_is_not_finite_on_one_rank_is_skipped_on_both(results, stage):
    assert [found["skipped"] for found in results[1][stage]] == [1.0, 1.0]
    assert [found["unchanged"] for found in results[1][stage]] == [True, True]


@pytest.mark.parametrize("stage", STAGES)
def test_ranks_sample_by_themselves_from_the_weights_that_are_saved(results, stage):
    folder, found = results
    short, long = (f["sampled"] for f in found[stage])
    assert (len(short), len(long)) == (3, 7)
    assert long[:3] == short
    saved = load_file(folder / f"model-{stage}" / "model.safetensors")
    assert saved.keys() == load_file(folder / "model-1" / "model.safetensors").keys()
    model = random_llama()
    model.load_state_dict(saved, strict=False)
    ids = [5, 6, 7]
    for token in long:
        assert model(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item() == token
        ids.append(token)
    assert [f["after"] for f in found[stage]] != [0.0, 0.0]  # the update after sampling ran


@pytest.mark.parametrize("stage", STAGES)
def test_every_rank_hands_an_engine_the_weights_that_are_saved(results, stage):
    folder, found = results
    saved = load_file(folder / f"model-{stage}" / "model.safetensors")
    for rank in found[stage]:
        handed = rank["handed"]
        assert saved.keys() <= handed.keys() == random_llama().state_dict().keys()
        assert all(torch.equal(handed[name], saved[name]) for name in saved)
        assert torch.equal(handed["lm_head.weight"], handed["model.embed_tokens.weight"])  # tied
        assert sum(value.numel() for value in handed.values()) > 3 * 4000


def test_the_reference_of_zero_3_is_split_and_gives_the_same_log_probabilities(results):
    for whole, split in zip(results[1][0], results[1][3], strict=True):
        assert whole["reference"][1] == 1
        assert split["reference"][1] == pytest.approx(0.5, abs=0.01)
        for one, other in zip(whole["reference"][0], split["reference"][0], strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
