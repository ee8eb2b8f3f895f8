"""Collect answers: plan the tiers, ask them, keep the answers, write the answers table."""
