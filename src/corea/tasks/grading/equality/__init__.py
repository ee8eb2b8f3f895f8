"""Whether two forms say the same: `comparing` has one rule for each kind of gold; `values` compares expressions."""
