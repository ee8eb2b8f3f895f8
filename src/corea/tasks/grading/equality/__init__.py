"""Equality of two forms: `comparing` has one rule for each kind of gold; `values` compares expressions."""
