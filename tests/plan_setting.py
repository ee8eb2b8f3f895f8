"""A small setting for tests of the plan, whose figures can be worked out by hand."""

from corea.model_shape import ModelShape
from corea.plan.memory_parts import Setting

SHAPE = ModelShape(layers=2, hidden=4, heads=2, kv_heads=1, head_size=2, feed_forward=8, vocabulary=10, tied=True)
SETTING = Setting(
    shape=SHAPE,
    gpus=4,
    on_cpu=True,
    item=2,
    stage=1,
    offload=False,
    recompute=False,
    rank=0,
    reference=False,
    budget=100,
    trees=False,
    questions=8,
    group=4,
    prompt=6,
    completion=10,
    engine="hf",
    rows=64,
    engine_bytes=0.0,
    sleeps=True,
)
