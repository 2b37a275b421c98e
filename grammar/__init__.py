"""The language: text to syntax tree, knowing nothing of networks."""
