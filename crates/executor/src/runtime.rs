//! Finding interpreters and toolchains on the host without running anything.
