"""Whatever answers prompts: a local transformers model, recorded answers. Each is a corea.types.Engine."""
