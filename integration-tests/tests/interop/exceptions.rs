//! What is known not to work, each with its reason: the one list. A case that is named here must fail, and as it says
//! here; all others must not fail.

use crate::cases::{Case, Role};
use crate::side::Direction;

use Cases::{AllBut, These};
use Direction::{FromPython, ToPython};
use Role::{Chats, Documents, KeyValues, Vectors};

/// Cases that fail for one reason.
pub(crate) struct Exception {
    stores: &'static [&'static str],
    role: Role,
    cases: Cases,
    directions: &'static [Direction],
    /// What stands in the failure.
    pub(crate) says: &'static str,
    /// Whether it depends on who comes first, so that the case may as well work.
    pub(crate) by_chance: bool,
    /// The reason, for the page.
    pub(crate) why: &'static str,
}

/// Which cases of a role.
enum Cases {
    These(&'static [&'static str]),
    AllBut(&'static [&'static str]),
}

const BOTH: &[Direction] = &Direction::BOTH;
const FROM: &[Direction] = &[FromPython];
const TO: &[Direction] = &[ToPython];

const URLS: &str = "LlamaIndex can not write a URL in a node's resource or in a message's block (`AnyUrl`) to this store. What ours \
     wrote, it reads.";
const MONGODB_INTEGERS: &str = "MongoDB has integers of 64 bits with a sign. Python refuses others; ours keeps them as Decimal128, which Python \
     shows as that.";
const MONGODB_BESIDE: &str = "Names with `$` or dots at the top of a value: Python takes a dot for a path, and ours keeps such a value in a member \
     `_nodestore`.";
const MOVES: &str = "Python leaves a node that gets another source in the list of the old one as well.";
const OVERWRITTEN: &str = "Python reads the list of a source document, adds to it and puts it back whole: what ours added in between is not in \
     the list any more (node and hash are kept). Adding the node again mends it.";
const NO_UPSERT: &str = "Python inserts vectors on MongoDB, and never replaces one.";
const DOCUMENTS_AS_TEXT: &str = "A document comes back from a vector store as a text node, on both sides.";
const RESOURCES: &str = "A vector store keeps the text of a node apart: what else stands in its text resource (embeddings, or that there is \
     none) is lost when Python writes or reads it.";
const FLAT: &str = "Python's store takes flat metadata only (on Redis neither truth values nor null). Ours takes all, and Python reads \
     it.";
const NUMBERS: &str = "DynamoDB has one kind of number: 2.0 is 2 there, and -0.0 is 0. What ours wrote it reads again as it was, by what it \
     notes beside it (of a key-value Python shows that as a member `_nodestore`); Python does not.";
const NUMBERS_BEYOND: &str = "DynamoDB's numbers end at 1e-130 and 1e126. Python refuses what is beyond; ours keeps it beside the item, and Python \
     sees what DynamoDB has.";
const ORDER: &str = "DynamoDB keeps no order of members. Ours notes it beside the item (of a key-value Python shows that as a member \
     `_nodestore`); Python does not, and so gets another hash for nodes with several metadata.";
const DECIMALS: &str = "Python's chats on DynamoDB show numbers as `Decimal`, its own as well.";
const FLOATS: &str = "Python can not write floats into a chat on DynamoDB.";
const BYTES: &str = "Python can not read a message with bytes from DynamoDB that Python wrote. Ours writes the form that it can read.";
const NO_NODES: &str = "LlamaIndex's DynamoDBVectorStore keeps embedding and source document of a node and nothing else, and does not filter.";

const fn known(
    stores: &'static [&'static str],
    role: Role,
    cases: Cases,
    directions: &'static [Direction],
    says: &'static str,
    why: &'static str,
) -> Exception {
    Exception { stores, role, cases, directions, says, by_chance: false, why }
}

const fn by_chance(exception: Exception) -> Exception {
    Exception { by_chance: true, ..exception }
}

/// All of them; the first that names a case counts.
pub(crate) const ALL: &[Exception] = &[
    // Of several stores.
    known(
        &["mongodb", "redis", "dynamodb", "folder"],
        Documents,
        These(&["node of media at a URL"]),
        BOTH,
        "AnyUrl",
        URLS,
    ),
    known(&["mongodb", "dynamodb"], Chats, These(&["image block at a URL"]), BOTH, "AnyUrl", URLS),
    known(
        &["mongodb", "redis", "dynamodb"],
        Documents,
        These(&["a node moves to another source"]),
        TO,
        "docs.ref_doc",
        MOVES,
    ),
    by_chance(known(
        &["mongodb", "redis", "dynamodb"],
        Documents,
        These(&["both at once: one source, nothing of ours is lost"]),
        BOTH,
        "of ours are lost",
        OVERWRITTEN,
    )),
    // MongoDB.
    known(
        &["mongodb"],
        KeyValues,
        These(&["a value is replaced whole"]),
        TO,
        "\"old\":1",
        "Python's put on MongoDB merges: members that the new value lacks stay. Ours replaces.",
    ),
    known(
        &["mongodb"],
        KeyValues,
        These(&["order of members"]),
        FROM,
        "ours: kv.get",
        "Python's put on MongoDB stores the members of a new value in the order of their names.",
    ),
    known(&["mongodb"], KeyValues, These(&["an odd name"]), FROM, "kv.", MONGODB_BESIDE),
    known(&["mongodb"], KeyValues, These(&["an odd name"]), TO, "_nodestore", MONGODB_BESIDE),
    known(
        &["mongodb"],
        KeyValues,
        These(&["an integer beyond 63 bits"]),
        FROM,
        "8-byte ints",
        MONGODB_INTEGERS,
    ),
    known(
        &["mongodb"],
        KeyValues,
        These(&["an integer beyond 63 bits"]),
        TO,
        "Python: kv.get",
        MONGODB_INTEGERS,
    ),
    known(
        &["mongodb"],
        Documents,
        These(&["an integer beyond 63 bits"]),
        FROM,
        "8-byte ints",
        MONGODB_INTEGERS,
    ),
    known(
        &["mongodb"],
        Documents,
        These(&["an integer beyond 63 bits"]),
        TO,
        "Python: docs.get",
        MONGODB_INTEGERS,
    ),
    known(&["mongodb"], Chats, These(&["an integer beyond 63 bits"]), FROM, "8-byte ints", MONGODB_INTEGERS),
    known(&["mongodb"], Chats, These(&["an integer beyond 63 bits"]), TO, "Decimal128", MONGODB_INTEGERS),
    known(
        &["mongodb"],
        Vectors,
        These(&["an integer beyond 63 bits"]),
        FROM,
        "8-byte ints",
        MONGODB_INTEGERS,
    ),
    known(
        &["mongodb"],
        Documents,
        These(&["source documents of old releases"]),
        TO,
        "docs.ref_doc",
        "Python's put on MongoDB merges: the old list `doc_ids` stays beside the new one, and Python then reads the old one.",
    ),
    by_chance(known(
        &["mongodb"],
        Chats,
        These(&["a message is inserted"]),
        TO,
        "chat.get",
        "A message that Python inserts on MongoDB has the same index as the one that was there: which comes first is \
         chance. Ours makes room.",
    )),
    known(&["mongodb"], Vectors, These(&["a node is written over"]), BOTH, "duplicate key", NO_UPSERT),
    known(&["mongodb"], Vectors, These(&["both at once: upserts"]), BOTH, "duplicate key", NO_UPSERT),
    // Vectors of MongoDB, Cassandra and Redis.
    known(
        &["redis_stack"],
        Vectors,
        These(&[
            "image node",
            "image node of a path",
            "image node of a URL",
            "index node",
            "index node with a node",
            "node of media",
            "document",
            "image document",
        ]),
        BOTH,
        "found …",
        "LlamaIndex's Redis store reads every node as a text node.",
    ),
    known(
        &["mongodb", "cassandra"],
        Vectors,
        These(&["document", "image document"]),
        BOTH,
        "\"text_resource\"",
        DOCUMENTS_AS_TEXT,
    ),
    known(
        &["mongodb", "cassandra", "redis_stack"],
        Vectors,
        These(&["node of media at a URL", "node of media with embeddings"]),
        BOTH,
        "found …",
        RESOURCES,
    ),
    known(
        &["cassandra"],
        Vectors,
        These(&["nested", "a list of numbers", "an empty list and object"]),
        FROM,
        "must be one of",
        FLAT,
    ),
    known(
        &["redis_stack"],
        Vectors,
        These(&["nested", "a list of numbers", "an empty list and object", "true", "null"]),
        FROM,
        "DataError",
        FLAT,
    ),
    // Chats of Redis.
    known(
        &["redis"],
        Chats,
        These(&["a message is removed"]),
        TO,
        "chat.get",
        "Python turns a chat on Redis around when it removes a message.",
    ),
    known(
        &["redis"],
        Chats,
        These(&["the only one is removed"]),
        TO,
        "lpush",
        "Python fails when it removes the only message of a chat on Redis, after it has removed it.",
    ),
    // Key-values and documents of DynamoDB.
    known(
        &["dynamodb"],
        KeyValues,
        These(&["a whole float", "a great float", "minus zero"]),
        BOTH,
        "kv.get",
        NUMBERS,
    ),
    known(
        &["dynamodb"],
        Documents,
        These(&[
            "a whole float",
            "a great float",
            "minus zero",
            "nodes of LlamaIndex 0.8",
            "nodes of LlamaIndex 0.9",
            "nodes of LlamaIndex 0.10",
            "nodes of LlamaIndex 0.11",
            "nodes of LlamaIndex 0.12",
        ]),
        BOTH,
        "docs.get",
        NUMBERS,
    ),
    known(
        &["dynamodb"],
        KeyValues,
        These(&["the smallest float", "the greatest float"]),
        FROM,
        "flow: [",
        NUMBERS_BEYOND,
    ),
    known(
        &["dynamodb"],
        KeyValues,
        These(&["the smallest float", "the greatest float"]),
        TO,
        "kv.get",
        NUMBERS_BEYOND,
    ),
    known(
        &["dynamodb"],
        Documents,
        These(&["the smallest float", "the greatest float"]),
        FROM,
        "flow: [",
        NUMBERS_BEYOND,
    ),
    known(
        &["dynamodb"],
        Documents,
        These(&["the smallest float", "the greatest float"]),
        TO,
        "docs.get",
        NUMBERS_BEYOND,
    ),
    known(&["dynamodb"], KeyValues, These(&["order of members"]), BOTH, "kv.get", ORDER),
    known(
        &["dynamodb"],
        Documents,
        These(&["order of members", "nodes of LlamaIndex 0.6"]),
        BOTH,
        "docs.get",
        ORDER,
    ),
    // Chats of DynamoDB.
    known(
        &["dynamodb"],
        Chats,
        These(&[
            "an integer beyond 53 bits",
            "the greatest integer",
            "a negative integer",
            "an integer beyond 63 bits",
        ]),
        BOTH,
        "Python: chat.get",
        DECIMALS,
    ),
    known(
        &["dynamodb"],
        Chats,
        These(&[
            "a fraction",
            "a small fraction",
            "a whole float",
            "a great float",
            "minus zero",
            "the smallest float",
            "the greatest float",
            "a list of numbers",
        ]),
        FROM,
        "Float types are not supported",
        FLOATS,
    ),
    known(
        &["dynamodb"],
        Chats,
        These(&[
            "a fraction",
            "a small fraction",
            "a whole float",
            "a great float",
            "minus zero",
            "the smallest float",
            "the greatest float",
            "a list of numbers",
        ]),
        TO,
        "Python: chat.get",
        DECIMALS,
    ),
    known(&["dynamodb"], Chats, These(&["order of members"]), BOTH, "chat.get", ORDER),
    known(
        &["dynamodb"],
        Chats,
        These(&[
            "image block",
            "audio block",
            "video block",
            "document block",
            "citable block with a file",
            "citation block of an image",
        ]),
        BOTH,
        "valid bytes",
        BYTES,
    ),
    known(
        &["dynamodb"],
        Chats,
        These(&["a message is inserted"]),
        TO,
        "'idx'",
        "Python can not insert into a chat on DynamoDB.",
    ),
    by_chance(known(
        &["dynamodb"],
        Chats,
        These(&["both at once: nothing of ours is lost"]),
        BOTH,
        "lost or moved",
        "Python reads a chat on DynamoDB whole and puts it back whole: what ours appended in between is overwritten. Let \
         one side write a chat, or keep it in our own layout.",
    )),
    // Vectors of DynamoDB.
    known(
        &["dynamodb"],
        Vectors,
        These(&["filtered by a text", "filtered by a number"]),
        TO,
        "filters not implemented",
        NO_NODES,
    ),
    known(&["dynamodb"], Vectors, These(&["both at once: upserts"]), BOTH, "of two halves", NO_NODES),
    known(
        &["dynamodb"],
        Vectors,
        AllBut(&["the nearest first", "a source document is deleted"]),
        BOTH,
        "found …",
        NO_NODES,
    ),
    // The folder.
    known(
        &["folder"],
        Documents,
        These(&["source documents of old releases"]),
        TO,
        "docs.ref_doc",
        "A folder is written without the entries of source documents whose nodes are not there.",
    ),
];

/// The exception that names this case.
pub(crate) fn of(store: &str, case: &Case, direction: Direction) -> Option<usize> {
    ALL.iter().position(|exception| {
        let cases = match exception.cases {
            These(cases) => cases.contains(&case.name),
            AllBut(cases) => !cases.contains(&case.name),
        };
        cases
            && exception.stores.contains(&store)
            && exception.role == case.role
            && exception.directions.contains(&direction)
    })
}
