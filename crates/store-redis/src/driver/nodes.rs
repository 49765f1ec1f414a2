//! Commands that a cluster's node sends on: to single nodes, by connections of their own.
//!
//! The driver is not left to follow where a slot is on its way (`ASK`): it sends `ASKING` to the new node into the
//! midst of others' commands, takes the answer to one of these for its own, so that everybody gets another's from then
//! on, and sends the command itself to the old node again.

use std::collections::HashMap;

use fred::clients::{Client, Pipeline};
use fred::error::Error as DriverError;
use fred::interfaces::{ClientLike, ClusterInterface as _};
use fred::types::config::{Options, Server, ServerConfig};
use fred::types::{ClusterHash, CustomCommand, Value};
use tokio::sync::Mutex;

use super::{Task, connected};

/// How often a command is sent on.
const MOST: usize = 8;

/// Clients of single nodes, made when they are needed.
#[derive(Default)]
pub(super) struct Nodes(Mutex<HashMap<Server, (Client, Task)>>);

impl Nodes {
    /// Sends a command to the node that a cluster's client takes for the slot's, and from there to wherever the nodes
    /// send it. Whoever answers otherwise has done it, or refused it for good.
    pub(super) async fn follow(
        &self,
        cluster: &Client,
        slot: u16,
        command: CustomCommand,
        args: Vec<Value>,
        options: Options,
    ) -> Result<Value, DriverError> {
        let owner = cluster.cached_cluster_state().and_then(|state| state.get_server(slot).cloned());
        let Some(mut node) = owner.or_else(|| cluster.client_config().server.hosts().into_iter().next())
        else {
            return Err(DriverError::new(fred::error::ErrorKind::Routing, "The cluster has no nodes."));
        };
        let mut asking = false;
        for _ in 1..MOST {
            let client = self.client(cluster, &node).await?;
            let answer = send(&client, asking, command.clone(), args.clone(), &options).await;
            let next = answer.as_ref().err().and_then(|error| redirection(error.details(), &node));
            let Some((kind, server)) = next else { return answer };
            asking = kind == Kind::Ask;
            node = server;
        }
        let client = self.client(cluster, &node).await?;
        send(&client, asking, command, args, &options).await
    }

    /// The client of one node, connected.
    async fn client(&self, cluster: &Client, node: &Server) -> Result<Client, DriverError> {
        let client = {
            let mut known = self.0.lock().await;
            match known.get(node) {
                Some((client, task)) if !task.0.is_finished() => client.clone(),
                _ => {
                    let mut config = cluster.client_config();
                    config.server = ServerConfig::Centralized { server: node.clone() };
                    let client = Client::new(
                        config,
                        Some(cluster.perf_config()),
                        Some(cluster.connection_config().clone()),
                        cluster.client_reconnect_policy(),
                    );
                    let task = Task::of(&client);
                    known.insert(node.clone(), (client.clone(), task));
                    client
                }
            }
        };
        connected(&client).await?;
        Ok(client)
    }
}

async fn send(
    client: &Client,
    asking: bool,
    command: CustomCommand,
    args: Vec<Value>,
    options: &Options,
) -> Result<Value, DriverError> {
    if !asking {
        return client.with_options(options).custom(command, args).await;
    }
    // A node answers for a slot that it does not have yet in the one command after this.
    let pipeline: Pipeline<Client> = client.pipeline();
    let ask = CustomCommand::new_static("ASKING", ClusterHash::Random, false);
    let _: Value = pipeline.with_options(options).custom(ask, Vec::<Value>::new()).await?;
    let _: Value = pipeline.with_options(options).custom(command, args).await?;
    let mut answers = pipeline.try_all::<Value>().await;
    answers.pop().unwrap_or_else(|| Err(DriverError::new(fred::error::ErrorKind::Canceled, "No answer.")))
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// The slot is there.
    Moved,
    /// The slot is not there yet, but the key is.
    Ask,
}

/// Where a node's error sends a command: `MOVED 3999 127.0.0.1:6381`.
fn redirection(details: &str, from: &Server) -> Option<(Kind, Server)> {
    let mut words = details.split(' ');
    let kind = match words.next()? {
        "MOVED" => Kind::Moved,
        "ASK" => Kind::Ask,
        _ => return None,
    };
    let (host, port) = words.nth(1)?.trim().rsplit_once(':')?;
    let port = port.parse().ok()?;
    // Without a host it is the one that was asked.
    let mut server = Server::new(if host.is_empty() { from.host.to_string() } else { host.to_owned() }, port);
    if server.host == from.host {
        server.tls_server_name.clone_from(&from.tls_server_name);
    }
    Some((kind, server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read() {
        let from = Server::new("one", 1);
        let read = |details: &str| redirection(details, &from);
        assert_eq!(read("MOVED 3999 127.0.0.1:6381"), Some((Kind::Moved, Server::new("127.0.0.1", 6381))));
        assert_eq!(read("ASK 1 :6382"), Some((Kind::Ask, Server::new("one", 6382))));
        assert_eq!(read("ASK 1 2001:db8::1:6383"), Some((Kind::Ask, Server::new("2001:db8::1", 6383))));
        for other in ["", "MOVED", "MOVED 1", "MOVED 1 host", "ASK 1 host:port", "ERR MOVED 1 a:2"] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
