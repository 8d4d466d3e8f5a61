"""CONV_2D: windows gathered two at a time, then a matrix product with weights laid out ahead of time."""
