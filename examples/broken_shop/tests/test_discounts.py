from shop.discounts import bulk_discount, member_discount


def test_a_member_saves_five_percent(config):
    assert member_discount(1000, config) == 50


def test_half_a_cent_is_rounded_up(config):
    assert member_discount(50, config) == 3  # 2.5 cents


def test_nine_pieces_are_not_bulk(config):
    assert bulk_discount(405, 9, config) == 0


def test_ten_pieces_are(config):
    assert bulk_discount(2700, 10, config) == 405
