"""The terminal side: frames, ISO 8583, keys, sessions and the daemon."""
