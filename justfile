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

# Of these the Python package's: pytest on the oldest and the newest CPython, mypy, pyright, stubtest.
python:
    cargo xtask python

# Everyday programs outside and inside; writes docs/reference/compatibility.md.
compat:
    cargo xtask compat

# Formatting and lints of Rust and Python, rules on dependencies.
lint:
    cargo xtask lint

# The fuzz targets, so many seconds each.
fuzz seconds="60":
    cargo xtask fuzz --seconds {{seconds}}

# Format the sources.
fmt:
    cargo fmt --all

# What continuous integration runs.
ci:
    bash .ci/run
