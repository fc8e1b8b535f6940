"""A cart: items and quantities, and what they cost together."""

from shop.discounts import bulk_discount, member_discount
from shop.prices import price_of


class Cart:
    """What one customer is about to buy."""

    def __init__(self, config, member=False):
        self.config = config
        self.member = member
        self.quantities = {}

    def add(self, item, quantity=1):
        """Puts `quantity` more of `item` into the cart."""
        if quantity < 1:
            raise ValueError(f"quantity must be 1 or more, not {quantity}")
        price_of(item)  # refuses what is not sold
        self.quantities[item] = self.quantities.get(item, 0) + quantity

    def total(self):
        """The sum in cents: bulk discounts by item first, then the member's."""
        total = 0
        for item, quantity in self.quantities.items():
            cents = price_of(item) * quantity
            total += cents - bulk_discount(cents, quantity, self.config)
        if self.member:
            total -= member_discount(total, self.config)
        return total
