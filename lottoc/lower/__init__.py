"""From the syntax tree to a checked program, and from that to recipe IR."""
