"""Builders of commands from messages, one module a family of transactions."""
