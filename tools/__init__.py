"""Operator and developer tools: load, show, verify, replay, simulate."""
