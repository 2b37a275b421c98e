"""The editor service: what `lottoc check` knows, as an editor asks for it while one types."""
