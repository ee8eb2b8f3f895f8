"""engine=ray: the tiers of corea.collect and corea.answer as pools of actors on a Ray cluster."""
