"""The live cascade: binds the tiers of an operating point, and sends each question through them."""
