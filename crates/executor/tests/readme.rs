//! The Rust program that the README shows is `examples/library.rs`, which is built with every test run.

#[test]
fn the_readme_shows_the_example_as_it_is() {
    let example = include_str!("../examples/library.rs");
    let shown = format!("```rust\n{example}```\n");
    let readme = include_str!("../../../README.md");
    assert!(
        readme.contains(&shown),
        "copy crates/executor/examples/library.rs into the README's section `As a library`"
    );
}
