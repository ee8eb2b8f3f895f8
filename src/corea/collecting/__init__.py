"""Collect answers: plan the tiers, query them, store the answers, write the answers table."""
