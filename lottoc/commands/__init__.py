"""The commands of the tool: one file a command; `lottoc.cli` registers them."""
