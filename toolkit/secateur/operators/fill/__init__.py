"""Bytes set to one value; added by rules that need it."""
