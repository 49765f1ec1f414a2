//! The driver's types of columns as ours.

use cdrs_tokio::frame::message_result::{ColSpec, ColType, ColTypeOption, ColTypeOptionValue};

use crate::cells::{CellType, Column};

pub(super) fn columns(specs: &[ColSpec]) -> Vec<Column> {
    specs.iter().map(|spec| Column { name: spec.name.clone(), kind: kind(&spec.col_type) }).collect()
}

fn kind(option: &ColTypeOption) -> CellType {
    let of = |kind: &ColTypeOption| Box::new(self::kind(kind));
    match (option.id, &option.value) {
        (_, Some(ColTypeOptionValue::CString(class))) => CellType::of_class(class),
        (_, Some(ColTypeOptionValue::CList(item))) => CellType::List(of(item)),
        (_, Some(ColTypeOptionValue::CSet(item))) => CellType::Set(of(item)),
        (_, Some(ColTypeOptionValue::CMap(key, value))) => CellType::Map(of(key), of(value)),
        (_, Some(ColTypeOptionValue::TupleType(tuple))) => {
            CellType::Tuple(tuple.types.iter().map(kind).collect())
        }
        (_, Some(ColTypeOptionValue::UdtType(udt))) => {
            let fields = udt.descriptions.iter().map(|(name, field)| (name.clone(), kind(field)));
            CellType::Udt(udt.udt_name.clone(), fields.collect())
        }
        (id, _) => native(id),
    }
}

fn native(id: ColType) -> CellType {
    match id {
        ColType::Ascii => CellType::Ascii,
        ColType::Bigint => CellType::Bigint,
        ColType::Blob => CellType::Blob,
        ColType::Boolean => CellType::Boolean,
        ColType::Counter => CellType::Counter,
        ColType::Decimal => CellType::Decimal,
        ColType::Double => CellType::Double,
        ColType::Float => CellType::Float,
        ColType::Int => CellType::Int,
        ColType::Timestamp => CellType::Timestamp,
        ColType::Uuid => CellType::Uuid,
        ColType::Varchar => CellType::Text,
        ColType::Varint => CellType::Varint,
        ColType::Timeuuid => CellType::Timeuuid,
        ColType::Inet => CellType::Inet,
        ColType::Date => CellType::Date,
        ColType::Time => CellType::Time,
        ColType::Smallint => CellType::Smallint,
        ColType::Tinyint => CellType::Tinyint,
        ColType::Duration => CellType::Duration,
        // The driver may come to know more; those with items are above.
        other => CellType::Other(other.to_string()),
    }
}
