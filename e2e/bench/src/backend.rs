//! The backend: answers chat completions as JSON or as a stream, as cheaply as it can, and tallies what reached it wrongly.
//! One process, one thread.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

use crate::http1::{self, Message};
use crate::payload;

/// No message of the bench is longer.
const BUFFER: usize = 8 * 1024;
/// No stream is longer: ten minutes.
const MOST_EVENTS: u32 = 60_000;

/// What reached the backend since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Requests.
    pub requests: u64,
    /// Those without exactly one `Authorization`, or with another than the injected one.
    pub wrong_credential: u64,
    /// Those for another path than the rewritten one.
    pub wrong_path: u64,
    /// Those without exactly one, right [`payload::ROUTE_HEADER`].
    pub wrong_header: u64,
}

struct Backend {
    stats: RefCell<Stats>,
    request_line: String,
    credential: String,
    json: String,
    stream_head: String,
    event: String,
    end_of_stream: String,
}

enum Asked {
    Json,
    Stream(u32),
    Stats,
}

/// Serves on 127.0.0.1 until killed.
pub fn run(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, accept(port))
}

async fn accept(port: u16) -> Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let backend = Rc::new(Backend::new());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let backend = Rc::clone(&backend);
        // A connection that breaks is the client's to report.
        tokio::task::spawn_local(async move { serve(stream, &backend).await.ok() });
    }
}

async fn serve(mut stream: TcpStream, backend: &Backend) -> Result<()> {
    let mut inbox = Inbox { buffer: vec![0; BUFFER], filled: 0 };
    while let Some(message) = inbox.next(&mut stream).await? {
        let head = &inbox.buffer[..message.head];
        let last =
            http1::headers(head).any(|(name, value)| name.eq_ignore_ascii_case(b"connection") && value.eq_ignore_ascii_case(b"close"));
        match backend.judge(head)? {
            Asked::Json => stream.write_all(backend.json.as_bytes()).await?,
            Asked::Stream(events) => backend.play(&mut stream, events).await?,
            Asked::Stats => stream.write_all(backend.report()?.as_bytes()).await?,
        }
        if last {
            break;
        }
        inbox.forget(message);
    }
    Ok(())
}

struct Inbox {
    buffer: Vec<u8>,
    filled: usize,
}

impl Inbox {
    /// The next whole message; `None` at the end of the connection.
    async fn next(&mut self, stream: &mut TcpStream) -> Result<Option<Message>> {
        loop {
            if let Some(message) = http1::message(&self.buffer[..self.filled])? {
                return Ok(Some(message));
            }
            ensure!(self.filled < self.buffer.len(), "a request of more than {BUFFER} bytes");
            match stream.read(&mut self.buffer[self.filled..]).await? {
                0 => return Ok(None),
                read => self.filled += read,
            }
        }
    }

    fn forget(&mut self, message: Message) {
        self.buffer.copy_within(message.total..self.filled, 0);
        self.filled -= message.total;
    }
}

impl Backend {
    fn new() -> Self {
        let fields = "date: Sun, 22 Nov 2026 12:00:00 GMT\r\nserver: bench\r\nx-request-id: 6f1c2d3e4b5a";
        let answer = payload::answer();
        Self {
            stats: RefCell::default(),
            request_line: format!("POST {} HTTP/1.1\r\n", payload::UPSTREAM_PATH),
            credential: payload::credential(),
            json: json_answer(fields, &answer),
            stream_head: format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n{fields}\r\ntransfer-encoding: chunked\r\n\r\n"
            ),
            event: http1::chunk(&payload::event()),
            end_of_stream: format!("{}0\r\n\r\n", http1::chunk(&payload::last_events())),
        }
    }

    /// Tallies a request and says what it asks for.
    fn judge(&self, head: &[u8]) -> Result<Asked> {
        if head.starts_with(b"GET /stats ") {
            return Ok(Asked::Stats);
        }
        let (mut credential, mut route, mut events) =
            (Once::new(self.credential.as_bytes()), Once::new(payload::ROUTE_HEADER.1.as_bytes()), None);
        for (name, value) in http1::headers(head) {
            if name.eq_ignore_ascii_case(b"authorization") {
                credential.see(value);
            } else if name.eq_ignore_ascii_case(payload::ROUTE_HEADER.0.as_bytes()) {
                route.see(value);
            } else if name.eq_ignore_ascii_case(payload::EVENTS_HEADER.as_bytes()) {
                events = Some(std::str::from_utf8(value)?.parse::<u32>()?);
            }
        }
        let mut stats = self.stats.borrow_mut();
        stats.requests += 1;
        stats.wrong_path += u64::from(!head.starts_with(self.request_line.as_bytes()));
        stats.wrong_credential += u64::from(!credential.holds());
        stats.wrong_header += u64::from(!route.holds());
        Ok(events.map_or(Asked::Json, Asked::Stream))
    }

    async fn play(&self, stream: &mut TcpStream, events: u32) -> Result<()> {
        stream.write_all(self.stream_head.as_bytes()).await?;
        let mut clock = interval(payload::EVENT_INTERVAL);
        // Never two events at once: readers must be able to see them one by one.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for _ in 0..events.min(MOST_EVENTS) {
            clock.tick().await;
            stream.write_all(self.event.as_bytes()).await?;
        }
        clock.tick().await;
        Ok(stream.write_all(self.end_of_stream.as_bytes()).await?)
    }

    fn report(&self) -> Result<String> {
        Ok(json_answer("server: bench", &serde_json::to_string(&self.stats.take())?))
    }
}

fn json_answer(fields: &str, json: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{fields}\r\ncontent-length: {}\r\n\r\n{json}", json.len())
}

/// A field that must be there once, with one value.
struct Once<'v> {
    value: &'v [u8],
    seen: u32,
    right: u32,
}

impl<'v> Once<'v> {
    fn new(value: &'v [u8]) -> Self {
        Self { value, seen: 0, right: 0 }
    }

    fn see(&mut self, value: &[u8]) {
        self.seen += 1;
        self.right += u32::from(value == self.value);
    }

    fn holds(&self) -> bool {
        (self.seen, self.right) == (1, 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::Ask;

    #[test]
    fn tallies_a_clients_own_credential_as_wrong() {
        let backend = Backend::new();
        let ask = |path, dressed| payload::request(Ask { path, dressed, close: false, events: None });
        for request in [ask(payload::UPSTREAM_PATH, true), ask("/openai", false)] {
            let head = http1::end_of_head(&request).unwrap();
            assert!(matches!(backend.judge(&request[..head]).unwrap(), Asked::Json));
        }
        assert_eq!(backend.stats.take(), Stats { requests: 2, wrong_credential: 1, wrong_path: 1, wrong_header: 1 });
    }
}
