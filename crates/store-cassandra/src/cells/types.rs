//! The types of columns.

use std::fmt;

/// How deep types are followed into each other. The deepest that a server lets anyone declare is far less.
const DEEPEST: usize = 32;

/// The type of a column, a field or an item. `Display` is its name in CQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CellType {
    Ascii,
    Bigint,
    Blob,
    Boolean,
    Counter,
    Date,
    Decimal,
    Double,
    Duration,
    Float,
    Inet,
    Int,
    Smallint,
    Text,
    Time,
    Timestamp,
    Timeuuid,
    Tinyint,
    Uuid,
    Varint,
    List(Box<Self>),
    Set(Box<Self>),
    Map(Box<Self>, Box<Self>),
    Tuple(Vec<Self>),
    /// Its name, and the fields with theirs.
    Udt(String, Vec<(String, Self)>),
    /// And how many items.
    Vector(Box<Self>, usize),
    /// A class of the server's own.
    Other(String),
}

impl CellType {
    /// A type by its class in the server, which is how version 4 of the protocol names those that came after it:
    /// `org.apache.cassandra.db.marshal.VectorType(org.apache.cassandra.db.marshal.FloatType, 3)`.
    pub(crate) fn of_class(class: &str) -> Self {
        let mut rest = class;
        match read(&mut rest, 0) {
            Some(kind) if rest.trim().is_empty() => kind,
            _ => Self::Other(class.to_owned()),
        }
    }

    /// Whether a value of no bytes is one.
    pub(super) fn may_be_empty(&self) -> bool {
        matches!(self, Self::Ascii | Self::Text | Self::Blob | Self::Other(_))
    }

    /// How many bytes each value has, where that is the same for all.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Boolean | Self::Tinyint => Some(1),
            Self::Smallint => Some(2),
            Self::Float | Self::Int | Self::Date => Some(4),
            Self::Bigint | Self::Counter | Self::Double | Self::Time | Self::Timestamp => Some(8),
            Self::Uuid | Self::Timeuuid => Some(16),
            Self::Vector(of, count) => of.width()?.checked_mul(*count),
            _ => None,
        }
    }

    /// Whether its values stand in a vector without their lengths. Cassandra 5.0 counts tinyint, smallint, date and time
    /// among those of different lengths.
    pub(super) fn stands_alone_in_vectors(&self) -> bool {
        match self {
            Self::Tinyint | Self::Smallint | Self::Date | Self::Time | Self::Counter => false,
            Self::Vector(of, _) => of.stands_alone_in_vectors(),
            other => other.width().is_some(),
        }
    }

    fn native(name: &str) -> Option<Self> {
        Some(match name {
            "AsciiType" => Self::Ascii,
            "LongType" => Self::Bigint,
            "BytesType" => Self::Blob,
            "BooleanType" => Self::Boolean,
            "CounterColumnType" => Self::Counter,
            "SimpleDateType" => Self::Date,
            "DecimalType" => Self::Decimal,
            "DoubleType" => Self::Double,
            "DurationType" => Self::Duration,
            "FloatType" => Self::Float,
            "InetAddressType" => Self::Inet,
            "Int32Type" => Self::Int,
            "ShortType" => Self::Smallint,
            "UTF8Type" => Self::Text,
            "TimeType" => Self::Time,
            "TimestampType" | "DateType" => Self::Timestamp,
            "TimeUUIDType" => Self::Timeuuid,
            "ByteType" => Self::Tinyint,
            "UUIDType" => Self::Uuid,
            "IntegerType" => Self::Varint,
            _ => return None,
        })
    }
}

/// Reads a class with what stands in its parentheses.
fn read(rest: &mut &str, depth: usize) -> Option<CellType> {
    if depth > DEEPEST {
        return None;
    }
    let class = word(rest)?;
    let name = class.rsplit('.').next().unwrap_or(class);
    if let Some(native) = CellType::native(name) {
        return Some(native);
    }
    mark(rest, '(')?;
    let kind = match name {
        "FrozenType" | "ReversedType" => read(rest, depth + 1)?,
        "ListType" => CellType::List(Box::new(read(rest, depth + 1)?)),
        "SetType" => CellType::Set(Box::new(read(rest, depth + 1)?)),
        "MapType" => {
            let keys = read(rest, depth + 1)?;
            mark(rest, ',')?;
            CellType::Map(Box::new(keys), Box::new(read(rest, depth + 1)?))
        }
        "TupleType" => {
            let mut of = vec![read(rest, depth + 1)?];
            while mark(rest, ',').is_some() {
                of.push(read(rest, depth + 1)?);
            }
            CellType::Tuple(of)
        }
        "VectorType" => {
            let of = read(rest, depth + 1)?;
            mark(rest, ',')?;
            CellType::Vector(Box::new(of), word(rest)?.parse().ok()?)
        }
        "UserType" => {
            // The keyspace, then names in hexadecimal.
            word(rest)?;
            mark(rest, ',')?;
            let name = unhex(word(rest)?)?;
            let mut fields = Vec::new();
            while mark(rest, ',').is_some() {
                let field = unhex(word(rest)?)?;
                mark(rest, ':')?;
                fields.push((field, read(rest, depth + 1)?));
            }
            // No type of the server is without fields, and none of its values would be other than null.
            (!fields.is_empty()).then_some(CellType::Udt(name, fields))?
        }
        _ => return None,
    };
    mark(rest, ')')?;
    Some(kind)
}

/// The name or number that comes next.
fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"._$".contains(c)).unwrap_or(text.len());
    let (word, after) = text.split_at_checked(end).filter(|(word, _)| !word.is_empty())?;
    *rest = after;
    Some(word)
}

fn mark(rest: &mut &str, mark: char) -> Option<()> {
    *rest = rest.trim_start().strip_prefix(mark)?;
    Some(())
}

fn unhex(digits: &str) -> Option<String> {
    String::from_utf8(super::encode::unhex(digits)?).ok()
}

impl fmt::Display for CellType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ascii => "ascii",
            Self::Bigint => "bigint",
            Self::Blob => "blob",
            Self::Boolean => "boolean",
            Self::Counter => "counter",
            Self::Date => "date",
            Self::Decimal => "decimal",
            Self::Double => "double",
            Self::Duration => "duration",
            Self::Float => "float",
            Self::Inet => "inet",
            Self::Int => "int",
            Self::Smallint => "smallint",
            Self::Text => "text",
            Self::Time => "time",
            Self::Timestamp => "timestamp",
            Self::Timeuuid => "timeuuid",
            Self::Tinyint => "tinyint",
            Self::Uuid => "uuid",
            Self::Varint => "varint",
            Self::Udt(name, _) => name,
            Self::List(of) => return write!(f, "list<{of}>"),
            Self::Set(of) => return write!(f, "set<{of}>"),
            Self::Map(keys, values) => return write!(f, "map<{keys}, {values}>"),
            Self::Vector(of, count) => return write!(f, "vector<{of}, {count}>"),
            Self::Other(class) => return write!(f, "'{class}'"),
            Self::Tuple(of) => {
                let of: Vec<String> = of.iter().map(Self::to_string).collect();
                return write!(f, "tuple<{}>", of.join(", "));
            }
        })
    }
}
