//! Skips that are seen: a test that lacks a mechanism of its host says so on a line that `cargo xtask test` counts.

/// Prints `SKIP: <test>: <why>`. Tests use [`crate::skip!`], which also returns.
pub fn report_skip(why: &str) {
    let thread = std::thread::current();
    println!("SKIP: {}: {why}", thread.name().unwrap_or("unnamed"));
}

/// Prints `SKIP: <test>: <why>` and returns from the test. Takes what `format!` takes.
///
/// ```
/// fn needs_git() {
///     let Some(_git) = agentic_testkit::find_program("git") else {
///         agentic_testkit::skip!("git is not installed");
///     };
/// }
/// needs_git();
/// ```
#[macro_export]
macro_rules! skip {
    ($($why:tt)+) => {{
        $crate::report_skip(&format!($($why)+));
        return;
    }};
}
