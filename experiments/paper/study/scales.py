"""The scales of the study: the tiny pair, the broad pair, and the paper's own models and questions."""

from __future__ import annotations

from dataclasses import dataclass

from corea.errors import UserError
from study.recipes import Ablation, Size, distances, group_sizes, model_sizes, weights

SCALES = ("tiny", "broad", "qwen7b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervised:
    """A preset of corea.sft."""

    experiment: str
    steps: int
    """Its sft.steps."""
    stop_after: int | None = None
    """Its sft.stop_after."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Models, questions and sizes of one scale."""

    name: str
    train: tuple[str, ...]
    """Overrides of every training, besides those of its recipe."""
    model: tuple[str, ...]
    """Overrides of corea.collect for the model before RL."""
    questions: tuple[str, ...]
    """Overrides of corea.collect that name the questions."""
    llm: tuple[str, ...]
    """Overrides of corea.collect that name the LLM."""
    llm_engine: tuple[str, ...] = ()
    """Overrides that name its engine, in the one run that asks it."""
    steps: int
    """Training steps of the preset."""
    held_out: int
    """Calibration and test questions."""
    llm_relative: float
    """Parameters of the LLM relative to those of the SLM."""
    ablations: tuple[Ablation, ...]
    pretrain: Supervised | None = None
    """Pretraining of SLMs of other sizes."""
    cold: Supervised | None = None
    """Their cold start."""
    pairs: str | None = None
    """File of the pretraining, if it needs one."""
    launcher: tuple[str, ...] = ("python",)
    """Starts `-m corea.train`."""
    paper: bool = False
    """Whether recipes use the overrides of the paper's scale."""
    hidden_states_by_hf: bool = False
    """Whether the engine of the training lacks the signals expected and probe, so that engine=hf answers for them."""


def _size(name: str, hidden: int, heads: int, feed_forward: int, millions: float, main: float) -> Size:
    architecture = (
        f"architecture.hidden_size={hidden}",
        f"architecture.heads={heads}",
        f"architecture.feed_forward={feed_forward}",
    )
    price = (f"model.name=slm_{name}", f"model.price.input={millions}", f"model.price.output={millions}")
    return Size(name=name, relative=millions / main, architecture=architecture, model=price)


def tiny() -> Scale:
    """The pair that ships with corea."""
    sizes = _size("0.2M", 64, 4, 176, 0.22, 0.85), _size("1.9M", 192, 6, 528, 1.87, 0.85)
    return Scale(
        name="tiny",
        train=("model=tiny", "data=tiny", "trainer=tiny", "trainer.threads=1"),
        model=("model=tiny",),
        questions=("data=tiny",),
        llm=("llm=tiny",),
        steps=320,
        held_out=7200,
        llm_relative=5.2 / 0.85,
        ablations=(distances(), group_sizes((4, 16, 32), 16), model_sizes(sizes[0], "0.85M", sizes[1]), weights()),
        pretrain=Supervised(experiment="tiny_slm", steps=5000, stop_after=4001),
        cold=Supervised(experiment="tiny_slm_cold", steps=300),
    )


def broad(slm: str | None, llm: str | None, pairs: str | None) -> Scale:
    """The broad world, with models in folders; `pairs`: the file that other sizes are pretrained on.

    Raises:
        UserError: a folder is missing.
    """
    if not (slm and llm):
        raise UserError("SCALE=broad: give SLM=FOLDER and LLM=FOLDER (experiments/broad_pair)")
    model = ("model=tiny", f"model.path={slm}", "model.name=broad_slm", "model.max_tokens=48")
    model += ("model.price.input=0.88", "model.price.output=0.88")
    price = ("llm.name=broad_llm", "llm.price.input=1.92", "llm.price.output=1.92")
    sizes = _size("0.2M", 64, 4, 176, 0.23, 0.88), _size("1.9M", 192, 6, 528, 1.92, 0.88)
    others = (model_sizes(sizes[0], "0.88M", sizes[1]),) if pairs else ()
    return Scale(
        name="broad",
        train=(*model, "data=broad", "trainer=tiny", "trainer.threads=1"),
        model=model,
        questions=("data=broad",),
        llm=("llm=tiny", *price),
        llm_engine=(f"llm.model={llm}",),
        steps=320,
        held_out=5600,
        llm_relative=1.92 / 0.88,
        ablations=(distances(), group_sizes((4, 16, 32), 16), *others, weights()),
        pretrain=Supervised(experiment="broad_slm", steps=7500),
        cold=Supervised(experiment="broad_slm_cold", steps=400),
        pairs=pairs,
    )


def qwen7b(gpus: int) -> Scale:
    """The paper's models and questions."""
    smaller = Size(name="1.5B", relative=1.54 / 7.62, model=("model=qwen1.5b",))
    larger = Size(name="llama8B", relative=8.03 / 7.62, model=("model=llama8b",))
    return Scale(
        name="qwen7b",
        train=("data=paper",),
        model=("model=qwen7b", "model.max_prompt_tokens=1024", "model.max_tokens=4096", "temperature=0.7"),
        questions=("data=paper",),
        llm=("llm=qwen32b",),
        llm_engine=("engine@llm.engine=vllm", "llm.engine.gpu_share=0.9", "llm.engine.max_logprob_gap=null"),
        steps=250,
        held_out=HELD_OUT,
        llm_relative=32.8 / 7.62,
        ablations=(distances(), group_sizes((8, 16, 32), 32), model_sizes(smaller, "7B", larger), weights()),
        launcher=("torchrun", "--nproc-per-node", str(gpus)) if gpus > 1 else ("python",),
        paper=True,
        hidden_states_by_hf=True,
    )


HELD_OUT = 1000 + 500 + 1319 + 674 + 198 + 1221
"""DeepMath (500 calibration and 500 test questions), and all of MATH-500, GSM8K, OlympiadBench, GPQA diamond,
CommonsenseQA."""


def find_scale(
    name: str, *, slm: str | None = None, llm: str | None = None, pairs: str | None = None, gpus: int = 1
) -> Scale:
    """The scale of this name.

    Raises:
        UserError: an unknown name, or folders that it needs or does not take.
    """
    if name not in SCALES:
        raise UserError(f"SCALE={name}: allowed is {', '.join(SCALES)}")
    if name != "broad" and (slm or llm or pairs):
        raise UserError(f"SCALE={name}: SLM, LLM and PAIRS go with SCALE=broad")
    return {"tiny": tiny, "broad": lambda: broad(slm, llm, pairs), "qwen7b": lambda: qwen7b(gpus)}[name]()
