"""MEAN over axes that are neighbours."""
