fn main() {
    println!("cargo:rustc-env=AGENTIC_SPAWNER_IMAGE={}/../../target/debug/agentic-spawner", env!("CARGO_MANIFEST_DIR"));
}
