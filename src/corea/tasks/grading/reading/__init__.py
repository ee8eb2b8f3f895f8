"""What an answer says: characters -> normal form -> numbers with units, expressions -> forms.

Nothing here compares, and nothing evaluates what a model wrote.
"""
