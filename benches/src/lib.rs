//! Benchmarks of nodestore against its peers; see README.md.
