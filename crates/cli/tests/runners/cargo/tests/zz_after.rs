/// In a binary after the one that hangs: it has to have its turn all the same.
#[test]
fn has_its_turn() {
    assert_eq!(shop::add(1, 1), 2);
}
