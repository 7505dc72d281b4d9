"""The engine: what is allowed. Commands in, outcomes out, deterministic."""
