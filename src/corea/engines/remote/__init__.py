"""Engines on a server that speaks the OpenAI API, with a ledger of what calls cost."""
