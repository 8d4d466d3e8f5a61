"""Showing it: summary.json, tables on the screen, one page."""
