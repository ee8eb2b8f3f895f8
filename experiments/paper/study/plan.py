"""The jobs of the study: ordinary corea commands, each job in a run folder of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from corea.errors import UserError
from study.recipes import BEFORE, RECIPES, REFERENCE, Ablation, Recipe, Size, Variant
from study.scales import Scale, Supervised

PARTS = ("main", "ablations", "all", "report")
BASE = ("verbalized", "expected", "avg_prob")
"""Signals that cost nothing beside the answer, if the engine gives them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Commands that run one after another in the folder of the job."""

    name: str
    """Path of the job's folder below that of the study."""
    commands: tuple[tuple[str, ...], ...]
    """Words of each command; "python" and "torchrun" stand for those of this environment."""
    needs: tuple[str, ...] = ()
    """Jobs that must be finished before."""
    relative: float = 1.0
    """Parameters of its SLM relative to those of the main one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One start of the study: which jobs, and where."""

    scale: Scale
    root: str
    """Folder of the study."""
    seeds: int = 3
    steps: int | None = None
    """Training steps; None: those of the preset. Supervised training is shortened by the same factor."""
    extra: tuple[str, ...] = ()
    """Further overrides of train, sft and collect."""
    recipes: tuple[Recipe, ...] = RECIPES

    def jobs(self, part: str = "all") -> list[Job]:
        """The jobs of a part, with those that they need, first seeds first.

        Raises:
            UserError: an unknown part.
        """
        if part not in PARTS:
            raise UserError(f"PART={part}: allowed is {', '.join(PARTS)}")
        main = [self.main_job(recipe, seed) for seed in range(self.seeds) for recipe in self.recipes]
        others = [job for ablation in self.ablations for job in self.ablation_jobs(ablation)]
        wanted = {"main": main, "ablations": others}.get(part, [*main, *others])
        return with_needs(wanted, [*main, *others])

    def main_job(self, recipe: Recipe, seed: int) -> Job:
        """Train (unless it is the model before RL), collect and evaluate one recipe with one seed."""
        name = main_name(recipe.name, seed)
        asks = name == self.first
        commands = [] if recipe.train is None else [self._train(name, self.overrides(recipe), seed)]
        commands += [self._collect(name, recipe.signals, seed, recipe.train is not None, asks), self._evaluate(name)]
        return Job(name=name, commands=tuple(commands), needs=() if asks else (self.first,))

    @property
    def ablations(self) -> tuple[Ablation, ...]:
        """Those of the scale; none with a choice of recipes, which lacks some of their rows."""
        return self.scale.ablations if set(RECIPES) <= set(self.recipes) else ()

    @property
    def first(self) -> str:
        """The job that asks the LLM; the others use its answers."""
        return main_name(BEFORE, 0)

    def overrides(self, recipe: Recipe) -> tuple[str, ...]:
        """Overrides of corea.train that make the recipe at this scale."""
        assert recipe.train is not None, "the model before RL is not trained"
        if not self.scale.paper:
            return (*self.scale.train, *recipe.train)
        return (*(recipe.paper or ("experiment=paper_rlcc", *recipe.train)), *self.scale.train)

    def ablation_jobs(self, ablation: Ablation) -> list[Job]:
        """The trainings that no recipe has run."""
        found: list[Job] = []
        for variant in ablation.variants:
            if variant.size is not None and variant.size.architecture:
                found += self._pretraining(ablation, variant.size)
        for seed in range(self.seeds):
            found += [self._variant_job(ablation, v, seed) for v in ablation.variants if not v.same_as]
        return found

    def _variant_job(self, ablation: Ablation, variant: Variant, seed: int) -> Job:
        name = f"{ablation.name}/{variant.name}/seed{seed}"
        reference = next(recipe for recipe in self.recipes if recipe.name == REFERENCE)
        overrides, needs, relative = (*self.overrides(reference), *variant.overrides), [self.first], 1.0
        if variant.size is not None:
            overrides, relative = (*overrides, *variant.size.model), variant.size.relative
            if variant.size.architecture:
                cold = f"{ablation.name}/{variant.name}/cold"
                needs.append(cold)
                overrides = tuple(o for o in overrides if not o.startswith("model.path="))
                overrides = (*overrides, f"model.path={self.root}/{cold}/model")
        commands = (
            self._train(name, _last_of_each(overrides), seed),
            self._collect(name, (), seed, True, False),
            self._evaluate(name),
        )
        return Job(name=name, commands=commands, needs=tuple(needs), relative=relative)

    def _pretraining(self, ablation: Ablation, size: Size) -> list[Job]:
        """Pretraining and cold start of an SLM of another size."""
        assert self.scale.pretrain is not None
        assert self.scale.cold is not None
        first, cold = (f"{ablation.name}/{size.name}/{step}" for step in ("pretrain", "cold"))
        pairs = (f"pairs={self.scale.pairs}",) if self.scale.pairs else ()
        begin = self._sft(first, self.scale.pretrain, (*size.architecture, *pairs))
        then = self._sft(cold, self.scale.cold, (f"model.path={self.root}/{first}/model",))
        return [
            Job(name=first, commands=(begin,), relative=size.relative),
            Job(name=cold, commands=(then,), needs=(first,), relative=size.relative),
        ]

    def _sft(self, name: str, preset: Supervised, overrides: tuple[str, ...]) -> tuple[str, ...]:
        share = 1.0 if self.steps is None else self.steps / self.scale.steps
        lengths: tuple[str, ...] = ()
        if share != 1.0:
            lengths = (f"sft.steps={max(2, round(share * preset.steps))}",)
            if preset.stop_after is not None:
                lengths += (f"sft.stop_after={max(2, round(share * preset.stop_after))}",)
        own = (f"experiment={preset.experiment}", *overrides, *lengths)
        return ("python", "-m", "corea.sft", *own, *self._common(name))

    def _train(self, name: str, overrides: tuple[str, ...], seed: int) -> tuple[str, ...]:
        steps = () if self.steps is None else (f"trainer.steps={self.steps}",)
        own = (*overrides, f"seed={seed}", *steps)
        return (*self.scale.launcher, "-m", "corea.train", *own, *self._common(name))

    def _collect(self, name: str, shown: tuple[str, ...], seed: int, trained: bool, asks: bool) -> tuple[str, ...]:
        """`shown`: signals of the tables; `asks`: whether the LLM is asked, not its recorded answers read."""
        scale = self.scale
        signals = [*BASE, *(signal for signal in shown if signal not in (*BASE, "combined"))]
        answered_by: tuple[str, ...] = ()
        if scale.hidden_states_by_hf:
            needed = {"expected", "probe"} & {*shown, *(("expected",) if "combined" in shown else ())}
            answered_by = (f"engine={'hf' if needed else 'vllm'}",)
            signals = signals if needed else [signal for signal in signals if signal != "expected"]
        folder = f"{self.root}/{name}"
        slm = (f"run={folder}", "before=false") if trained else scale.model
        if trained and scale.paper:
            slm += ("temperature=0.7",)
        recorded = ("engine@llm.engine=recorded", f"llm.model={self.root}/{self.first}/answers.parquet")
        own = (*slm, *scale.questions, *answered_by, *scale.llm, *(scale.llm_engine if asks else recorded))
        own += (f"signals=[{','.join(signals)}]", "fit_without_llm=true", f"seed={seed}")
        return ("python", "-m", "corea.collect", *own, *self._common(name))

    def _evaluate(self, name: str) -> tuple[str, ...]:
        answers = f"answers={self.root}/{name}/answers.parquet"
        fast = ("cascade.compare=false", "plots=false", "report=false", "logger=none")
        return ("python", "-m", "corea.evaluate", answers, *fast)

    def _common(self, name: str) -> tuple[str, ...]:
        return (*self.extra, "logger=none", f"hydra.run.dir={self.root}/{name}")


def main_name(recipe: str, seed: int) -> str:
    """Name of the job of a recipe."""
    return f"main/{recipe}/seed{seed}"


def variant_runs(ablation: Ablation, variant: Variant, seeds: int) -> list[str]:
    """Names of the jobs behind one row of an ablation."""
    if variant.same_as:
        return [main_name(variant.same_as, seed) for seed in range(seeds)]
    return [f"{ablation.name}/{variant.name}/seed{seed}" for seed in range(seeds)]


def with_needs(wanted: Sequence[Job], known: Sequence[Job]) -> list[Job]:
    """`wanted` and every job that they need, each after those that it needs."""
    by_name = {job.name: job for job in known}
    found: dict[str, Job] = {}

    def add(job: Job) -> None:
        for need in job.needs:
            if need not in found:
                add(by_name[need])
        found[job.name] = job

    for job in wanted:
        add(job)
    return list(found.values())


def _last_of_each(overrides: tuple[str, ...]) -> tuple[str, ...]:
    """The overrides without those whose key comes again later: Hydra refuses a group that is chosen twice."""
    last = {override.partition("=")[0]: override for override in overrides}
    return tuple(last.values())
