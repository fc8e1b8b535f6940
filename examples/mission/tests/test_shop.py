"""The shop does what its README says."""

from __future__ import annotations

import pytest

from shop.customers import getUserData
from shop.greeting import greeting


def test_customers_are_greeted_by_name() -> None:
    assert greeting(1) == "Welcome back, Ada!"


def test_an_unknown_customer_is_an_error() -> None:
    with pytest.raises(KeyError):
        getUserData(4)
