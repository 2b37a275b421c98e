"""What writes artefacts."""
