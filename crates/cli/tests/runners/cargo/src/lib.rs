/// The sum of two prices.
///
/// ```
/// assert_eq!(shop::add(2, 2), 4);
/// ```
pub fn add(a: i64, b: i64) -> i64 {
    a + b
}

/// The price of many.
pub fn multiply(a: i64, b: i64) -> i64 {
    a * b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds() {
        assert_eq!(add(2, 2), 4);
    }

    #[test]
    fn crashes() {
        std::process::abort();
    }

    #[test]
    fn expects_four() {
        let got = add(2, 3);
        assert!(got == 4, "expected 4, got {got}");
    }

    #[test]
    fn multiplies() {
        assert_eq!(multiply(2, 3), 6);
    }

    #[test]
    #[ignore = "needs a card reader"]
    fn pays_by_card() {
        panic!("never run");
    }
}
