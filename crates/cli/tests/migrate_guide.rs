//! The commands of `docs/guides/migrating.md` do what the guide says.

mod guide;
mod scene;

#[test]
fn the_guides_commands_do_what_it_says() {
    let text = guide::read("migrating.md");
    let scene = guide::scene();
    // Each file is a block that begins with its name.
    let mut files = 0;
    for block in text.split("```python\n").chain(text.split("```yaml\n")) {
        let Some((name, rest)) = block.strip_prefix("# ").and_then(|block| block.split_once('\n')) else { continue };
        if name.ends_with(".py") || name.ends_with(".yaml") {
            scene.file(name, rest.split("```\n").next().unwrap());
            files += 1;
        }
    }
    assert!(files >= 4, "{files}");
    guide::follow(&scene, &text, 6);
}
