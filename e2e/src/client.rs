//! An HTTP/1.1 client that sends exactly the bytes it is given and notices how an answer ends. For tests only: it trusts the gateway.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;

/// Longest wait for the next byte.
const PATIENCE: Duration = Duration::from_secs(15);

/// A request with a body of known length.
#[derive(Clone)]
pub struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &'static str, target: &str) -> Self {
        Self { method, target: target.to_owned(), headers: Vec::new(), body: String::new() }
    }

    /// A GET request.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST request with a JSON body.
    #[must_use]
    pub fn post(target: &str, body: &str) -> Self {
        let request = Self { method: "POST", body: body.to_owned(), ..Self::get(target) };
        request.header("content-type", "application/json")
    }

    /// A minimal chat request.
    #[must_use]
    pub fn chat(target: &str) -> Self {
        Self::post(target, r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#)
    }

    /// A chat request for a streamed answer with usage.
    #[must_use]
    pub fn chat_stream(target: &str) -> Self {
        Self::post(
            target,
            r#"{"model":"gpt-4o-mini","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hello"}]}"#,
        )
    }

    /// Adds a header, spelled as given; the same name may come again.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The bytes to send.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let names_host = |(name, _): &(String, String)| name.eq_ignore_ascii_case("host");
        if !self.headers.iter().any(names_host) {
            text.push_str("Host: gateway.test\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.method != "GET" {
            text.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        text.push_str("\r\n");
        text.push_str(&self.body);
        text.into_bytes()
    }
}

/// Status and headers of an answer.
#[derive(Clone, Debug)]
pub struct Head {
    /// The status code.
    pub status: u16,
    /// Lower-case names, and values.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).first().copied()
    }

    /// All values of a header, by its lower-case name.
    #[must_use]
    pub fn header_values(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// Status and headers.
    pub head: Head,
    /// The body, without its chunked framing.
    pub body: Vec<u8>,
    /// Whether the body came to its end as its framing says.
    pub complete: bool,
}

impl Response {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// When it is none.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("not JSON: {}", self.text()))
    }

    /// The message of an error in OpenAI's shape.
    ///
    /// # Errors
    /// When the answer is no such error.
    pub fn openai_error(&self) -> anyhow::Result<String> {
        let kind = self.head.header("content-type").unwrap_or_default();
        anyhow::ensure!(kind.starts_with("application/json"), "an error of type {kind:?}: {}", self.text());
        let error = self.json()?;
        let text = |pointer: &str| error.pointer(pointer).and_then(Value::as_str);
        match (text("/error/message"), text("/error/type")) {
            (Some(message), Some(_)) if !message.is_empty() => Ok(message.to_owned()),
            _ => bail!("not in OpenAI's shape: {error}"),
        }
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
/// When no answer comes.
pub fn send(addr: SocketAddr, request: &Request) -> anyhow::Result<Response> {
    Connection::open(addr)?.exchange(request)
}

/// A connection to the gateway.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn open(addr: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(addr).with_context(|| format!("cannot connect to {addr}"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, received: Vec::new() })
    }

    /// Sends bytes. A peer that has closed already is no error: its answer is still to be read.
    ///
    /// # Errors
    /// When the socket fails in another way.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        match self.stream.write_all(bytes) {
            Err(error) if is_gone(&error) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Sends a request and reads its answer; the connection may be used again if the answer was complete.
    ///
    /// # Errors
    /// When no answer comes.
    pub fn exchange(&mut self, request: &Request) -> anyhow::Result<Response> {
        self.write(&request.to_bytes())?;
        self.read_response()
    }

    /// Reads an answer, passing over interim ones.
    ///
    /// # Errors
    /// When none comes.
    pub fn read_response(&mut self) -> anyhow::Result<Response> {
        let head = loop {
            let head = self.read_head()?;
            if head.status == 101 || head.status >= 200 {
                break head;
            }
        };
        let (body, complete) = self.read_body(&head)?;
        Ok(Response { status: head.status, head, body, complete })
    }

    /// Reads status and headers, and nothing after them.
    ///
    /// # Errors
    /// When what comes is no HTTP/1.1 answer.
    pub fn read_head(&mut self) -> anyhow::Result<Head> {
        let Some(bytes) = self.read_through(b"\r\n\r\n")? else {
            bail!("the connection was closed without an answer, after {:?}", String::from_utf8_lossy(&self.received))
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
        let status = status.with_context(|| format!("not a status line: {status_line:?}"))?;
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_ascii_lowercase(), value.trim().to_owned()))
        };
        Ok(Head { status: status.parse()?, headers: lines.filter_map(header).collect() })
    }

    fn read_body(&mut self, head: &Head) -> anyhow::Result<(Vec<u8>, bool)> {
        if head.status == 101 || head.status == 204 || head.status == 304 {
            return Ok((Vec::new(), true));
        }
        if head.header("transfer-encoding") == Some("chunked") {
            return self.read_chunks();
        }
        match head.header("content-length") {
            Some(length) => self.read_up_to(length.parse()?),
            None => Ok((self.read_to_end()?, true)),
        }
    }

    fn read_chunks(&mut self) -> anyhow::Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        loop {
            let Some(chunk) = self.read_chunk()? else {
                return Ok((body, false));
            };
            if chunk.is_empty() {
                return Ok((body, true));
            }
            body.extend_from_slice(&chunk);
        }
    }

    /// The data of the next chunk of a chunked body, empty for the last one; `None` when the connection was closed before its end.
    ///
    /// # Errors
    /// When what comes is no chunk.
    pub fn read_chunk(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(line) = self.read_through(b"\r\n")? else {
            return Ok(None);
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let size = usize::from_str_radix(line.trim(), 16).with_context(|| format!("not a chunk size: {line:?}"))?;
        if size == 0 {
            return self.read_trailers();
        }
        let (mut chunk, complete) = self.read_up_to(size + 2)?;
        chunk.truncate(size);
        Ok(complete.then_some(chunk))
    }

    fn read_trailers(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            match self.read_through(b"\r\n")? {
                None => return Ok(None),
                Some(line) if line == b"\r\n" => return Ok(Some(Vec::new())),
                Some(_) => {}
            }
        }
    }

    /// Reads up to `length` bytes; says whether all came before the connection was closed.
    ///
    /// # Errors
    /// When the socket fails or nothing comes for long.
    pub fn read_up_to(&mut self, length: usize) -> anyhow::Result<(Vec<u8>, bool)> {
        while self.received.len() < length {
            if !self.receive()? {
                return Ok((std::mem::take(&mut self.received), false));
            }
        }
        Ok((self.received.drain(..length).collect(), true))
    }

    /// Reads through the end of `marker`; `None` when the connection was closed before.
    ///
    /// # Errors
    /// When the socket fails or nothing comes for long.
    pub fn read_through(&mut self, marker: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        loop {
            let found = self.received.windows(marker.len()).position(|window| window == marker);
            if let Some(start) = found {
                return Ok(Some(self.received.drain(..start + marker.len()).collect()));
            }
            if !self.receive()? {
                return Ok(None);
            }
        }
    }

    /// Reads until the peer closes the connection.
    ///
    /// # Errors
    /// When it does not, for long.
    pub fn read_to_end(&mut self) -> anyhow::Result<Vec<u8>> {
        while self.receive()? {}
        Ok(std::mem::take(&mut self.received))
    }

    /// More bytes; `false` when the connection was closed.
    fn receive(&mut self) -> anyhow::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.received.extend_from_slice(&buffer[..count]);
                Ok(count > 0)
            }
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => {
                let so_far = String::from_utf8_lossy(&self.received).into_owned();
                Err(error).with_context(|| format!("no more bytes after {so_far:?}"))
            }
        }
    }
}

fn is_gone(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}
