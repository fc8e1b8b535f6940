"""Customers of a small shop."""
