"""The settings of the shop."""

DEBUG = False
CURRENCY = "EUR"
PAGE_SIZE = 20
