"""Showing it: summary.json, tables on the screen, one page."""

from secateur.report.html import render_html, write_html
from secateur.report.summary import (
    GroupWidth,
    RecoveryPoint,
    describe_artifacts,
    read_summary,
    summary,
    write_json,
)
from secateur.report.table import print_summary

__all__ = [
    "GroupWidth",
    "RecoveryPoint",
    "describe_artifacts",
    "print_summary",
    "read_summary",
    "render_html",
    "summary",
    "write_html",
    "write_json",
]
