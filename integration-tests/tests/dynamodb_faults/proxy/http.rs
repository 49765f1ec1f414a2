//! Messages of HTTP/1.1, as far as a client and a server of DynamoDB use it.

use std::io::{Error, Result};

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(super) type Connection = BufReader<TcpStream>;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The first line: `POST / HTTP/1.1`, `HTTP/1.1 200 OK`.
    start: String,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Message {
    /// An answer with a body of JSON.
    pub(super) fn answer(status: u16, body: &serde_json::Value) -> Self {
        let headers = vec![("content-type".to_owned(), "application/x-amz-json-1.0".to_owned())];
        Self { start: format!("HTTP/1.1 {status} -"), headers, body: body.to_string().into_bytes() }
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// Whether an answer says that all went well.
    pub(super) fn is_ok(&self) -> bool {
        self.start.split(' ').nth(1) == Some("200")
    }

    /// Replaces the body. A sum over the old one goes.
    pub(super) fn set_body(&mut self, body: &serde_json::Value) {
        self.body = body.to_string().into_bytes();
        self.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-amz-crc32"));
    }

    /// The next one; `None` when the other side has closed the connection after the last.
    pub(super) async fn read(from: &mut Connection) -> Result<Option<Self>> {
        let Some(start) = line(from).await? else { return Ok(None) };
        let mut headers = Vec::new();
        loop {
            let line = line(from).await?.ok_or_else(cut_off)?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| strange(&line))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut message = Self { start, headers, body: Vec::new() };
        if message.header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
            loop {
                let size = line(from).await?.ok_or_else(cut_off)?;
                let size = u64::from_str_radix(size.trim(), 16).map_err(|_| strange(&size))?;
                message.take(from, size).await?;
                line(from).await?.filter(String::is_empty).ok_or_else(cut_off)?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some(size) = message.header("content-length") {
            let size = size.parse().map_err(|_| strange(size))?;
            message.take(from, size).await?;
        }
        Ok(Some(message))
    }

    async fn take(&mut self, from: &mut Connection, size: u64) -> Result<()> {
        let before = self.body.len();
        from.take(size).read_to_end(&mut self.body).await?;
        if u64::try_from(self.body.len() - before).is_ok_and(|read| read == size) {
            Ok(())
        } else {
            Err(cut_off())
        }
    }

    pub(super) async fn write(&self, to: &mut Connection) -> Result<()> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            if !["transfer-encoding", "content-length"].iter().any(|own| name.eq_ignore_ascii_case(own)) {
                text.extend([name, ": ", value, "\r\n"]);
            }
        }
        text.extend(["content-length: ", &self.body.len().to_string(), "\r\n\r\n"]);
        let mut bytes = text.into_bytes();
        bytes.extend(&self.body);
        to.write_all(&bytes).await
    }
}

async fn line(from: &mut Connection) -> Result<Option<String>> {
    let mut line = String::new();
    if from.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    if !line.ends_with("\r\n") {
        return Err(cut_off());
    }
    line.truncate(line.len() - 2);
    Ok(Some(line))
}

fn cut_off() -> Error {
    Error::other("the message ends too early")
}

fn strange(text: &str) -> Error {
    Error::other(format!("this is no HTTP: {text:?}"))
}
