//! The stores that both sides have: on the servers that `scripts/test-all` starts or the variables name, and the folder
//! of `StorageContext`.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use nodestore::{Backend, OpenOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::CaseResult;
use crate::cases::{Case, Role};
use crate::folder::Folder;
use crate::ours::Ours;
use crate::python::{self, Process, Python};
use crate::side::{Direction, Pair, Side};

/// A store that both sides have.
pub(crate) struct Store {
    pub(crate) name: &'static str,
    /// As people call it.
    pub(crate) title: &'static str,
    pub(crate) roles: Vec<Role>,
    /// What `stores.py` calls it.
    kind: &'static str,
    /// The collection of nodes in documents, as Python names it.
    nodes: &'static str,
    /// The URL, or why there is none.
    url: Result<String, String>,
    /// What the URL gets besides, on our side.
    options: &'static str,
    /// Where the folders are, removed at the end; `None`: it is on a server.
    folder: Option<TempDir>,
    python: OnceLock<CaseResult<Process>>,
    runtime: OnceLock<CaseResult<Runtime>>,
    /// One for each direction, made by the side that writes first.
    spaces: [Space; 2],
}

/// A namespace of the store.
struct Space {
    name: String,
    ours: OnceLock<CaseResult<Arc<dyn Backend>>>,
    /// One case at a time: what it lists is its own doing.
    turn: Mutex<()>,
}

/// All of them. The search module of Redis is on a server of its own.
pub(crate) fn all() -> Vec<Store> {
    use Role::{Chats, Documents, IndexStructs, KeyValues, Vectors};
    let every = [KeyValues, Documents, IndexStructs, Chats, Vectors];
    let layered = [KeyValues, Documents, IndexStructs, Chats];
    let mongodb = Store::new("mongodb", "MongoDB", "mongodb", &every);
    let redis = Store::new("redis", "Redis", "redis", &layered);
    let stack = Store::new("redis_stack", "Redis Stack", "redis", &[Vectors]);
    let dynamodb = Store::new("dynamodb", "DynamoDB", "dynamodb", &every);
    let cassandra = Store::new("cassandra", "Cassandra", "cassandra", &[Vectors]);
    let folder = tempfile::tempdir();
    let place = folder.as_ref().map(|folder| folder.path().display().to_string());
    let place = place.map_err(ToString::to_string);
    let layouts = "store.chat_layout=llamaindex&store.vector_layout=llamaindex&store.consistent_reads=true";
    vec![
        mongodb.on("STORE_TEST_MONGODB_URL"),
        Store { nodes: "docstore/doc", ..redis.on("STORE_TEST_REDIS_URL") },
        stack.on("STORE_TEST_REDIS_STACK_URL"),
        Store { options: layouts, ..dynamodb.on("STORE_TEST_DYNAMODB_URL") },
        cassandra.on("STORE_TEST_CASSANDRA_URL"),
        Store {
            url: place,
            folder: folder.ok(),
            ..Store::new("folder", "Folder", "folder", &[Documents, IndexStructs])
        },
    ]
}

impl Store {
    fn new(name: &'static str, title: &'static str, kind: &'static str, roles: &[Role]) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros();
        let space = |direction| Space {
            name: format!("i{now:x}{}", if direction == Direction::FromPython { "f" } else { "t" }),
            ours: OnceLock::new(),
            turn: Mutex::default(),
        };
        Self {
            name,
            title,
            roles: roles.to_vec(),
            kind,
            nodes: "docstore/data",
            url: Err(String::new()),
            options: "",
            folder: None,
            python: OnceLock::new(),
            runtime: OnceLock::new(),
            spaces: Direction::BOTH.map(space),
        }
    }

    /// On the server that this variable names.
    fn on(mut self, variable: &str) -> Self {
        let url = std::env::var(variable).ok().filter(|url| !url.is_empty());
        self.url = url.ok_or_else(|| {
            format!("{variable} is not set; scripts/servers/with starts a server and sets it")
        });
        self
    }

    /// Why it can not be driven.
    pub(crate) fn missing(&self) -> Option<String> {
        if std::env::var_os(python::VARIABLE).is_none() {
            let variable = python::VARIABLE;
            return Some(format!(
                "set {variable} to what `scripts/python-env scripts/python/interop.txt` prints"
            ));
        }
        self.url.clone().err()
    }

    /// Whether the case is for it: it has the role, and a folder is for one program at a time.
    pub(crate) fn takes(&self, case: &Case) -> bool {
        self.roles.contains(&case.role) && !(case.at_once && self.folder.is_some())
    }

    /// Does a case in one direction.
    pub(crate) fn run(&self, case: &Case, direction: Direction) -> CaseResult {
        let [from, to] = &self.spaces;
        let space = if direction == Direction::FromPython { from } else { to };
        let _turn = space.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let runtime = self.runtime()?;
        // A request that fails may leave a folder broken: each case has its own.
        let name = match &self.folder {
            Some(_) => format!("{}/{}", space.name, case.plain_name()),
            None => space.name.clone(),
        };
        let ours: Box<dyn Side + '_> = if let Some(folder) = &self.folder {
            Box::new(Folder { path: folder.path().join(&name), runtime })
        } else {
            let backend = space.ours.get_or_init(|| runtime.block_on(self.open(&space.name))).clone()?;
            Box::new(Ours { backend, runtime, nodes: self.nodes })
        };
        let (ours, process) = (&*ours, self.python()?);
        let python = Python { process, space: &name };
        let (writer, reader): (&dyn Side, &dyn Side) = match direction {
            Direction::FromPython => (&python, ours),
            Direction::ToPython => (ours, &python),
        };
        let prefix = format!("{}/", case.plain_name());
        (case.run)(&Pair { writer, reader, python: &python, ours, prefix })
    }

    async fn open(&self, namespace: &str) -> CaseResult<Arc<dyn Backend>> {
        let mut url = self.url.clone()?;
        // The machine may be busy.
        for option in
            ["store.operation_timeout_ms=60000", self.options].iter().filter(|option| !option.is_empty())
        {
            url.push(if url.contains('?') { '&' } else { '?' });
            url.push_str(option);
        }
        let options = OpenOptions::default().with_namespace(namespace).with_create(true);
        nodestore::open_with(&url, &options).await.map_err(|error| format!("ours does not open: {error}"))
    }

    fn runtime(&self) -> CaseResult<&Runtime> {
        let runtime = self.runtime.get_or_init(|| Runtime::new().map_err(|error| error.to_string()));
        runtime.as_ref().map_err(Clone::clone)
    }

    fn python(&self) -> CaseResult<&Process> {
        let python = self.python.get_or_init(|| Process::start(self.kind, &self.url.clone()?));
        python.as_ref().map_err(Clone::clone)
    }

    /// Removes what the cases wrote and ends Python.
    pub(crate) fn end(&self) -> CaseResult {
        if let Some(Ok(python)) = self.python.get() {
            python.end()?;
        }
        for space in &self.spaces {
            if let Some(Ok(backend)) = space.ours.get() {
                self.runtime()?.block_on(backend.drop_namespace()).map_err(|error| error.to_string())?;
            }
        }
        Ok(())
    }
}
