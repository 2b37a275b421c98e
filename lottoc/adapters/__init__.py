"""Adapters: what a sparse fine-tuning changed of a network, apart from the network."""
