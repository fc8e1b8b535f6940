import pytest

from shop.prices import as_text, price_of


def test_cents_become_text():
    assert as_text(1250, "EUR") == "12.50 EUR"
    assert as_text(-5, "EUR") == "-0.05 EUR"


def test_what_is_not_sold_has_no_price():
    with pytest.raises(KeyError, match="no such item: yacht"):
        price_of("yacht")
