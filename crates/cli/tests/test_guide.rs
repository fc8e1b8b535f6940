//! The commands of `docs/guides/testing.md` do what the guide says.

mod guide;
mod scene;

#[test]
fn the_guides_commands_do_what_it_says() {
    let text = guide::read("testing.md");
    let module = text.split("```python\n").nth(1).unwrap().split("```\n").next().unwrap();
    let scene = guide::scene();
    scene.file("test_shop.py", module);
    guide::follow(&scene, &text, 7);
}
