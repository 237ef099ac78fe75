"""Optimizers: one page each, with its named constructor."""
