"""Engines that run a transformers model in this process with a decode loop of their own."""
