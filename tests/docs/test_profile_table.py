from __future__ import annotations

import profile_table


def test_two_rows_for_each_step_and_what_it_can_gain():
    shares = dict.fromkeys(profile_table.KINDS, 0.0) | {"norm": 0.123, "convolution forward": 0.5, "system": 0.04}
    step = {"seconds": 1.5, "shares": shares, "gflop": 90.0, "gflop_per_s": 120.4}
    gains = {"faster": 1.149, "convolutions_alone": 1.684, "convolutions_alone_at_product": 2.07}
    method = {"product_gflop_per_s": 160.0, "ours": step, "plain": {**step, "gflop_per_s": 80.0}, **gains}
    ours, plain = map(list, profile_table.rows({"methods": {"net 128": method}}))
    told = ["50.0%", "0.0%", "12.3%", *["0.0%"] * 6, "4.0%"]
    assert ours == ["net 128", "i2i", *told, "120 GFLOP/s, 75%", "1.15", "1.68", "2.07"]
    assert plain == ["net 128", "plain", *told, "80 GFLOP/s, 50%", "", "", ""]
    assert len(profile_table.HEAD) == len(ours) == len(plain)
