"""Training under exact masks."""
