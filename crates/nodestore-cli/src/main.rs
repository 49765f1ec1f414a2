//! The `nodestore` program.
fn main() {}
