//! A server of one's own making, for what no server here can run: it speaks the wire protocol (`OP_MSG`), notes
//! every command and gives the answers it is told to.

#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by a panic")]

use std::sync::{Arc, Mutex};

use bson::{Bson, Document, doc};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const OP_MSG: i32 = 2013;

type Answer = dyn Fn(&str, &Document) -> Document + Send + Sync;

pub(crate) struct Stub {
    port: u16,
    commands: Arc<Mutex<Vec<(String, Document)>>>,
    server: tokio::task::JoinHandle<()>,
}

impl Stub {
    /// A server that answers each command, given by name and document, as `answer` says.
    pub(crate) async fn start(answer: impl Fn(&str, &Document) -> Document + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let commands = Arc::new(Mutex::new(Vec::new()));
        let (answer, log): (Arc<Answer>, _) = (Arc::new(answer), Arc::clone(&commands));
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Ends with the connection.
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&log)));
            }
        });
        Self { port, commands, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("mongodb://127.0.0.1:{}/?directConnection=true&serverSelectionTimeoutMS=5000", self.port)
    }

    /// The commands of this name so far, in order, without what the driver adds.
    pub(crate) fn sent(&self, name: &str) -> Vec<Document> {
        let commands = self.commands.lock().unwrap();
        commands.iter().filter(|(sent, _)| sent == name).map(|(_, command)| command.clone()).collect()
    }

    /// The pipelines that were sent so far, but those that list indexes.
    pub(crate) fn pipelines(&self) -> Vec<Vec<Document>> {
        let of = |command: &Document| {
            let stages = command.get_array("pipeline").unwrap();
            stages.iter().map(|stage| stage.as_document().unwrap().clone()).collect::<Vec<_>>()
        };
        let lists = |stages: &[Document]| stages.iter().any(|stage| stage.contains_key("$listSearchIndexes"));
        self.sent("aggregate").iter().map(of).filter(|stages| !lists(stages)).collect()
    }
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A cursor's only batch.
pub(crate) fn batch(documents: impl IntoIterator<Item = Document>) -> Document {
    let documents: Vec<Bson> = documents.into_iter().map(Bson::Document).collect();
    doc! {"ok": 1, "cursor": {"id": 0_i64, "ns": "db.c", "firstBatch": documents}}
}

/// An error.
pub(crate) fn refuse(code: i32, message: &str) -> Document {
    doc! {"ok": 0, "code": code, "codeName": "Refused", "errmsg": message}
}

async fn serve(mut stream: TcpStream, answer: Arc<Answer>, log: Arc<Mutex<Vec<(String, Document)>>>) {
    while let Ok(length) = stream.read_i32_le().await {
        let id = stream.read_i32_le().await.unwrap();
        let mut rest = vec![0; usize::try_from(length).unwrap() - 8];
        stream.read_exact(&mut rest).await.unwrap();
        assert_eq!(rest[4..8], OP_MSG.to_le_bytes());
        let command = message(&rest[8..]);
        let name = command.keys().next().unwrap().clone();
        let reply = match name.as_str() {
            "hello" | "isMaster" | "ismaster" => doc! {
                "ok": 1, "helloOk": true, "ismaster": true, "isWritablePrimary": true, "maxWireVersion": 25,
                "minWireVersion": 0, "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000,
                "maxWriteBatchSize": 100_000, "readOnly": false,
            },
            "ping" | "endSessions" => doc! {"ok": 1},
            _ => {
                let own = |name: &str| matches!(name, "$db" | "lsid" | "$clusterTime" | "$readPreference");
                let plain = command.into_iter().filter(|(name, _)| !own(name)).collect::<Document>();
                log.lock().unwrap().push((name.clone(), plain.clone()));
                answer(&name, &plain)
            }
        };
        let mut body = Vec::new();
        reply.to_writer(&mut body).unwrap();
        let mut bytes = Vec::new();
        for number in [i32::try_from(21 + body.len()).unwrap(), 1, id, OP_MSG, 0] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.push(0);
        bytes.extend(body);
        stream.write_all(&bytes).await.unwrap();
    }
}

/// The document of a message, with the lists that stand beside it.
fn message(mut bytes: &[u8]) -> Document {
    fn document(bytes: &mut &[u8]) -> Document {
        let length = usize::try_from(i32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
        let (one, rest) = bytes.split_at(length);
        *bytes = rest;
        Document::from_reader(one).unwrap()
    }
    // The flags.
    bytes = &bytes[4..];
    let mut command = Document::new();
    while let Some((kind, rest)) = bytes.split_first() {
        bytes = rest;
        if *kind == 0 {
            command = document(&mut bytes).into_iter().chain(command).collect();
        } else {
            let length = usize::try_from(i32::from_le_bytes(bytes[..4].try_into().unwrap())).unwrap();
            let (mut section, rest) = (&bytes[4..length], &bytes[length..]);
            bytes = rest;
            let end = section.iter().position(|byte| *byte == 0).unwrap();
            let name = String::from_utf8(section[..end].to_vec()).unwrap();
            section = &section[end + 1..];
            let mut items = Vec::new();
            while !section.is_empty() {
                items.push(Bson::Document(document(&mut section)));
            }
            command.insert(name, items);
        }
    }
    command
}
