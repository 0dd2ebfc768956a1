"""Generators behind one protocol, cut open between any two layers."""
