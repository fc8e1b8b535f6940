"""Discounts, in whole cents. Half a cent is rounded up, in the customer's favour."""


def percent_of(cents, percent):
    """`percent` per cent of `cents`, half a cent rounded up."""
    return round(cents * percent / 100)


def member_discount(cents, config):
    """What a member saves on `cents`."""
    return percent_of(cents, config["member_percent"])


def bulk_discount(cents, quantity, config):
    """What `quantity` pieces of one item save on their sum of `cents`."""
    if quantity < config["bulk_from"]:
        return 0
    return percent_of(cents, config["bulk_percent"])
