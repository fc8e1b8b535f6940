import pytest

from shop.cart import Cart


def test_an_empty_cart_costs_nothing(config):
    assert Cart(config).total() == 0


def test_quantities_add_up(config):
    cart = Cart(config)
    cart.add("apple", 2)
    cart.add("apple")
    assert cart.total() == 135


def test_a_quantity_of_zero_is_refused(config):
    with pytest.raises(ValueError, match="1 or more"):
        Cart(config).add("apple", 0)


def test_a_member_pays_less_for_many(config):
    cart = Cart(config, member=True)
    cart.add("sticker", 11)  # 110 - 16.5 rounded up to 17 = 93, and 5 % of that is 4.65
    assert cart.total() == 88
