"""The decision to defer a question, and everything that chooses it: signals, rules, guarantees, chains of tiers."""
