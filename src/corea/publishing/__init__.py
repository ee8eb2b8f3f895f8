"""Turns a finished run into a model folder (weights, model card, operating point), and uploads it."""
