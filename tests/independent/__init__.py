"""A POS terminal written from the protocol document alone, and what it asks of the daemon."""
