"""Adapters: what a sparse fine-tuning changed, as one small file."""
