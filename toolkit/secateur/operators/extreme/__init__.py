"""MAXIMUM and MINIMUM of sources of one scale."""
