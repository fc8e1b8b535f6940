"""A small shop. Money is whole cents everywhere; only `prices` turns it into text."""
