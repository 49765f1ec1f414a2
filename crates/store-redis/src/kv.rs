//! Key-values: a hash for each collection, as Python writes it.
