"""Bytes copied from one order of axes to another; added by rules that need it."""
