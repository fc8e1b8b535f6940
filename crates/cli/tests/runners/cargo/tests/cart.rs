use std::process::{Command, Stdio};
use std::time::Duration;

#[test]
fn flickers() {
    let attempt = std::env::var("AGENTIC_TEST_ATTEMPT").unwrap_or_else(|_| "1".to_owned());
    assert!(attempt != "1", "not at the first attempt");
}

#[test]
fn hangs() {
    std::thread::sleep(Duration::from_secs(600));
}

#[test]
fn leaks() {
    Command::new("setsid")
        .args(["sleep", "300"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sleep starts");
}

#[test]
fn totals() {
    assert_eq!(shop::add(shop::multiply(2, 3), 4), 10);
}
