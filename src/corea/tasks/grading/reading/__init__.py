"""Reads answers: characters -> normal form -> numbers with units, expressions -> forms.

Nothing here compares answers or evaluates text that a model wrote.
"""
