//! A way to a server that counts what goes through it, and can be cut.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Forwards to the host and port of a `redis://` URL.
pub(crate) struct Proxy {
    port: u16,
    sent: Arc<Mutex<Vec<u8>>>,
    /// After how many bytes a connection is cut by itself.
    limit: Arc<AtomicUsize>,
    /// Changes when all connections are to be cut.
    cut: watch::Sender<u32>,
    accept: tokio::task::JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn start(url: &str) -> Self {
        let host = url.split("://").nth(1).unwrap().split(['/', '?']).next().unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let (cut, _) = watch::channel(0);
        let limit = Arc::new(AtomicUsize::new(usize::MAX));
        let (log, most, cutter) = (Arc::clone(&sent), Arc::clone(&limit), cut.clone());
        let accept = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(&host).await else { continue };
                let (log, most, mut cut) = (Arc::clone(&log), Arc::clone(&most), cutter.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = forward(client, server, log, most) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        Self { port, sent, limit, cut, accept }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Forgets what was sent so far.
    pub(crate) fn forget(&self) {
        self.sent.lock().unwrap().clear();
    }

    /// How many commands were sent since, of this name.
    pub(crate) fn count(&self, name: &str) -> usize {
        let frame = format!("\r\n${}\r\n{name}\r\n", name.len());
        let sent = self.sent.lock().unwrap();
        sent.windows(frame.len()).filter(|window| *window == frame.as_bytes()).count()
    }

    /// The names of the commands that were sent since, in the order in which they came.
    pub(crate) fn commands(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let mut lines =
            sent.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        // A line that begins with `*` and a number is followed by the length of the name, and the name.
        let mut names = Vec::new();
        while let Some(line) = lines.next() {
            let counts = line.strip_prefix(b"*").is_some_and(|rest| rest.iter().all(u8::is_ascii_digit));
            if counts && let Some(name) = lines.nth(1) {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
        }
        names
    }

    /// How many bytes were sent since.
    pub(crate) fn bytes(&self) -> usize {
        self.sent.lock().unwrap().len()
    }

    /// Cuts a connection when so many bytes were sent from now on.
    pub(crate) fn cut_after(&self, bytes: usize) {
        self.limit.store(self.sent.lock().unwrap().len() + bytes, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones are let through.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

async fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    log: Arc<Mutex<Vec<u8>>>,
    most: Arc<AtomicUsize>,
) {
    let (mut client_read, mut client_write) = client.split();
    let (mut server_read, mut server_write) = server.split();
    let up = async {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(read @ 1..) = client_read.read(&mut buffer).await {
            let sent = {
                let mut log = log.lock().unwrap();
                log.extend_from_slice(&buffer[..read]);
                log.len()
            };
            if sent > most.load(Ordering::SeqCst) {
                return;
            }
            if server_write.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let down = tokio::io::copy(&mut server_read, &mut client_write);
    tokio::select! {
        () = up => {}
        _ = down => {}
    }
}
