"""Seeds of the rollouts: those of one process, however many share the questions."""

from corea.composition import compose
from corea.rl.rollout.sampler import noise_part, rollout_sampling


def test_all_ranks_sample_with_the_noise_of_one_process():
    assert [noise_part(["a", "b", "c", "d", "e"], rank, 2) for rank in (0, 1)] == [0, 0]
    assert noise_part(["a", "a"], 0, 1) == 0


def test_equal_prompts_on_two_ranks_get_different_noise():
    prompts = ["a", "b", "c", "a"]  # the second `a` belongs to rank 1 of 2, and to rank 0 of 3
    assert [noise_part(prompts, rank, 2) for rank in (0, 1)] == [0, 1]
    assert [noise_part(prompts, rank, 3) for rank in (0, 1, 2)] == [0, 0, 0]


def test_the_seed_depends_on_step_and_attempt():
    cfg = compose("train")
    seeds = [rollout_sampling(cfg, *place).seed for place in ((0, 0), (1, 0), (0, 1), (0, 0, 1))]
    assert len(set(seeds)) == 4
