"""A finished run as a model folder that others load: weights, model card, operating point; and its upload."""
