"""Adds layers at the end of a Llama decoder that change nothing until they are trained.

    python experiments/broad_pair/deepen.py MODEL FOLDER [--layers 2]

The output projections of the new layers are 0, so the new model gives the same logits. What a layer computed at an
earlier position can be read only from a layer above it; the new layers can thus read what the last layer of MODEL
computed.
"""

from __future__ import annotations

import argparse

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM

ZERO = ("self_attn.o_proj", "mlp.down_proj")
OTHERS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")


def deepened(model: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    """A copy with `layers` more layers and the same logits."""
    before = model.config.num_hidden_layers
    settings = {**model.config.to_dict(), "num_hidden_layers": before + layers, "layer_types": None}
    deeper = LlamaForCausalLM(type(model.config)(**settings))
    weights = {**deeper.state_dict(), **model.state_dict()}
    for layer in range(before, before + layers):
        for name in ZERO:
            weights[f"model.layers.{layer}.{name}.weight"].zero_()
        for name in OTHERS:
            weight = weights[f"model.layers.{layer}.{name}.weight"]
            weight.normal_(0, weight.shape[1] ** -0.5)
    deeper.load_state_dict(weights)
    return deeper


def main() -> None:
    """Read the command line and write the folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("folder")
    parser.add_argument("--layers", type=int, default=2)
    args = parser.parse_args()
    torch.manual_seed(0)
    deeper = deepened(AutoModelForCausalLM.from_pretrained(args.model), args.layers)
    deeper.save_pretrained(args.folder)
    AutoTokenizer.from_pretrained(args.model).save_pretrained(args.folder)
    print(f"{args.folder}: {sum(p.numel() for p in deeper.parameters()):,} parameters")


if __name__ == "__main__":
    main()
