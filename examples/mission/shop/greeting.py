"""What customers read."""

from __future__ import annotations

from shop.customers import getUserData


def greeting(number: int) -> str:
    """A line for the customer of that number."""
    # TODO: other languages
    return f"Welcome back, {getUserData(number)}!"
