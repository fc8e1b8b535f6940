"""Prices: the catalogue, and cents as text."""

CATALOGUE = {
    "apple": 45,
    "bread": 270,
    "cheese": 1250,
    "sticker": 10,
}


def price_of(item):
    """The price of one `item` in cents."""
    try:
        return CATALOGUE[item]
    except KeyError:
        raise KeyError(f"no such item: {item}") from None


def as_text(cents, currency):
    """`1250, "EUR"` as `12.50 EUR`."""
    sign = "-" if cents < 0 else ""
    whole, rest = divmod(abs(cents), 100)
    return f"{sign}{whole}.{rest:02d} {currency}"
