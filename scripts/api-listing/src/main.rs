//! Prints the public API of a crate, one item on a line, from what rustdoc wrote of it as JSON.

use std::collections::HashSet;
use std::error::Error;
use std::io::Write as _;

use public_api::PublicApi;

fn main() -> Result<(), Box<dyn Error>> {
    let json = std::env::args_os().nth(1).ok_or("usage: api-listing RUSTDOC.json")?;
    let api = public_api::Builder::from_rustdoc_json(json).omit_blanket_impls(true).build()?;
    let mut out = std::io::stdout().lock();
    for line in listing(&api) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// The items but for what follows from another line: the members of a trait's impl, and the auto traits that every
/// type is expected to have.
fn listing(api: &PublicApi) -> impl Iterator<Item = String> {
    let of_traits: HashSet<_> =
        api.items().filter(|item| is_trait_impl(&item.to_string())).map(|item| item.id()).collect();
    let own =
        api.items().filter(move |item| !item.parent_id().is_some_and(|parent| of_traits.contains(&parent)));
    own.map(ToString::to_string).filter(|line| tells(line))
}

fn is_trait_impl(line: &str) -> bool {
    line.starts_with("impl") && line.contains(" for ")
}

/// Whether a line is about more than an auto trait. `Send` and `Sync` are told where they are missing or conditional.
fn tells(line: &str) -> bool {
    let of = |names: &[&str]| names.iter().any(|name| line.contains(&format!("{name} for ")));
    if !is_trait_impl(line) {
        return true;
    }
    if of(&["core::marker::Send", "core::marker::Sync"]) {
        return line.contains('!') || line.contains(" where ");
    }
    !of(&[
        "core::marker::Freeze",
        "core::marker::StructuralPartialEq",
        "core::marker::Unpin",
        "core::marker::UnsafeUnpin",
        "core::panic::unwind_safe::RefUnwindSafe",
        "core::panic::unwind_safe::UnwindSafe",
    ])
}
