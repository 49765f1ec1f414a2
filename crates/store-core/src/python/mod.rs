//! Python's own ways of writing values, for what LlamaIndex derives from them: texts, hashes and stored JSON.
//!
//! - [`str()`] and [`repr()`] are the built-in functions of that name, [`strip`] is `str.strip()`.
//! - [`python_json`] is `json.dumps(value)`, [`python_json_utf8`] is `json.dumps(value, ensure_ascii=False)`.
//! - [`parse_json`] reads JSON as Python writes it, also where that is no JSON (`NaN`, lone surrogates).
//!
//! Python 3.11 decides what is printable by Unicode 14.0; here the tables are those of the
//! `unicode-general-category` crate (Unicode 16.0). A character that Unicode gained in between is therefore escaped
//! in Python's `repr` and raw in ours, which only shows in hashes of nested metadata that hold one.

mod dumps;
mod exact;
mod format;
mod parse;
mod text;

pub use dumps::{dumps, dumps_utf8, python_json, python_json_utf8};
pub(crate) use format::fill_template;
pub use parse::{parse_json, parse_json_telling};
pub(crate) use text::{push_repr_object, push_str};
pub use text::{repr, str, strip};
