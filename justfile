# Tasks of the workspace. The scripts behind them run without just.

# List the tasks
default:
    @just --list --unsorted

# Quick tests: units, documentation examples, conformance of the stores that need no server
test *args:
    cargo test --locked {{ args }}

# All tests, after installing what they need; anything missing is a failure
test-all *args:
    scripts/test-all {{ args }}

# Start a server of each kind, print their URLs, stop them at Ctrl-C; with a command: run it with them
servers *command:
    scripts/servers/with {{ command }}

# Formatting, clippy, documentation, public API, links, licences, spelling, dependency rules
lint:
    scripts/lint

# What changed in the public API, against docs/public-api; with --update: write the listings
public-api *args:
    scripts/public-api {{ args }}

# Every crate with each of its features alone
features:
    scripts/check-features

# The documentation, opened in a browser
doc:
    cargo doc --locked --workspace --all-features --no-deps --open

# The benchmarks against their peers
bench *args:
    benches/run {{ args }}

# The long form of the crash, fault, model and random tests
soak *args:
    scripts/soak {{ args }}

# The fuzz targets of what reads stored data, filters and URLs: all or one, for so many seconds each
fuzz *args:
    scripts/fuzz {{ args }}

# A dry run of publishing every crate
package:
    scripts/package

# What continuous integration runs
ci:
    CI=true .ci/run

# Format the code
fmt:
    cargo fmt --all
