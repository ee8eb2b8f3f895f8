"""What the study trains and compares, as data: a further reward is one more Recipe, a further ablation one line."""

from __future__ import annotations

from dataclasses import dataclass

from corea.errors import UserError

BEFORE, REFERENCE = "before", "corea"
"""Recipes: the model before RL, whose first run also asks the LLM; the one that the others are compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One SLM of the main tables."""

    name: str
    """Name of its folder and of its rows."""
    train: tuple[str, ...] | None
    """Overrides of corea.train; None: the model before RL."""
    paper: tuple[str, ...] = ()
    """Overrides at the paper's scale; empty: experiment=paper_rlcc and those of `train`."""
    signals: tuple[str, ...] = ()
    """Signals besides the stated confidence whose cascades the tables show."""


RECIPES = (
    Recipe(name=BEFORE, train=None),
    Recipe(
        name="rlvr",
        train=("reward=rlvr",),
        paper=("experiment=paper_rlvr",),
        signals=("avg_prob", "probe", "router"),
    ),
    Recipe(name="brier", train=("reward=brier",), paper=("experiment=paper_brier",)),
    Recipe(name="l1_sample", train=("reward=l1_sample",), paper=("experiment=paper_l1",)),
    Recipe(
        name=REFERENCE,
        train=("reward=corea",),
        paper=("experiment=paper_rlcc",),
        signals=("expected", "combined"),
    ),
)


def chosen_recipes(names: list[str]) -> tuple[Recipe, ...]:
    """The model before RL and the recipes of these names; all without any.

    Raises:
        UserError: an unknown name.
    """
    known = [recipe.name for recipe in RECIPES]
    for name in names:
        if name not in known:
            raise UserError(f"ONLY={name}: allowed is {', '.join(known)}")
    return tuple(recipe for recipe in RECIPES if not names or recipe.name in (BEFORE, *names))


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """An SLM of another size than the main one."""

    name: str
    relative: float
    """Parameters relative to the main SLM."""
    architecture: tuple[str, ...] = ()
    """Overrides of corea.sft for a model that is pretrained here; empty: a published model."""
    model: tuple[str, ...] = ()
    """Overrides of corea.train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of an ablation."""

    name: str
    overrides: tuple[str, ...] = ()
    """Added to the training of the recipe REFERENCE."""
    same_as: str = ""
    """Recipe with the same configuration, whose runs are used."""
    size: Size | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """Trainings that differ in one thing."""

    name: str
    """Name of its folder."""
    title: str
    variants: tuple[Variant, ...]


DISTANCES, TARGETS = ("l1", "l2", "kl", "log"), ("sample", "group")
SAME = {"l1_group": "corea", "l1_sample": "l1_sample", "l2_sample": "brier"}
"""Distance and target -> recipe with this reward."""
WEIGHTS = (0.25, 0.5, 1.0, 2.0)


def distances() -> Ablation:
    """Every distance with every target that it allows."""
    found = []
    for distance in DISTANCES:
        for target in (
            TARGETS if distance != "log" else ("sample",)
        ):  # of a pass rate, log differs from kl by a constant
            name = f"{distance}_{target}"
            overrides = (f"reward.name={name}", f"reward.distance={distance}", f"reward.target={target}")
            found.append(Variant(name=name, overrides=overrides, same_as=SAME.get(name, "")))
    return Ablation(name="distance", title="Distance and target of the calibration reward", variants=tuple(found))


def weights() -> Ablation:
    """Weights of the calibration reward; rlvr is the weight 0."""
    found = [Variant(name="0", same_as="rlvr")]
    for weight in WEIGHTS:
        same = REFERENCE if weight == 1.0 else ""
        overrides = (f"reward.name=corea_{weight:g}", f"reward.calib={weight:g}")
        found.append(Variant(name=f"{weight:g}", overrides=overrides, same_as=same))
    return Ablation(name="weight", title="Weight of the calibration reward", variants=tuple(found))


def group_sizes(sizes: tuple[int, ...], main: int) -> Ablation:
    """Completions per question, at the same number of questions per step."""
    found = [
        Variant(name=str(size), overrides=(f"trainer.group_size={size}",), same_as=REFERENCE if size == main else "")
        for size in sizes
    ]
    return Ablation(name="group_size", title="Completions per question", variants=tuple(found))


def model_sizes(smaller: Size, main: str, larger: Size) -> Ablation:
    """The main SLM between a smaller and a larger one."""
    variants = (
        Variant(name=smaller.name, size=smaller),
        Variant(name=main, same_as=REFERENCE),
        Variant(name=larger.name, size=larger),
    )
    return Ablation(name="size", title="Size of the small model", variants=variants)
