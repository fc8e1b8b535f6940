# The chores by short names; each is a command that works without just, too.

# This list.
help:
    @just --list

# Build `agentic` and run the example.
example:
    cargo xtask example

# All tests; as root, also as an ordinary user.
test:
    cargo xtask test

# Formatting, clippy, rules on dependencies.
lint:
    cargo xtask lint

# Format the sources.
fmt:
    cargo fmt --all

# What continuous integration runs.
ci:
    bash .ci/run
