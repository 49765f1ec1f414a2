//! Where in a filter something is wrong, written as a path into its JSON: `filters[2].not.value`.

use std::fmt;

/// A path from the root, kept on the stack of the walk.
#[derive(Clone, Copy)]
pub(super) enum Place<'a> {
    Root,
    Member(&'a Place<'a>, &'a str),
    Item(&'a Place<'a>, usize),
}

impl Place<'_> {
    pub(super) fn member<'b>(&'b self, name: &'b str) -> Place<'b> {
        Place::Member(self, name)
    }

    pub(super) fn item(&self, index: usize) -> Place<'_> {
        Place::Item(self, index)
    }
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("filter"),
            Self::Member(Place::Root, name) => f.write_str(name),
            Self::Member(parent, name) => write!(f, "{parent}.{name}"),
            Self::Item(Place::Root, index) => write!(f, "[{index}]"),
            Self::Item(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}
