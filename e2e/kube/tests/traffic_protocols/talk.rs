//! A gRPC stream that is open in both directions. Nothing here reads its messages: they only need to arrive.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use http::Response;
use hyper::body::{Bytes, Frame, Incoming};
use keyward_e2e::{Echo, Echoed, Http2, Payload};
use keyward_e2e_kube::{SOON, wait_until};
use tokio::sync::mpsc;

/// A message of two bytes, behind the five that say so.
const MESSAGE: &[u8] = b"\0\0\0\0\x02hi";
/// What the backend answers before it has read the request.
const BEGINNING: &str = "early\n";

/// An open stream, whose answer has begun.
pub(super) struct Talk {
    client: Http2,
    words: mpsc::Sender<Frame<Bytes>>,
    answer: Response<Incoming>,
    said: u64,
}

impl Talk {
    /// The stream's path.
    pub(super) const METHOD: &'static str = "/keyward.test.Talk/Say";
    /// Bytes of one message.
    pub(super) const WORD: u64 = MESSAGE.len() as u64;

    /// Opens one and reads the beginning of the answer, which the backend sends before it has the request's end.
    pub(super) fn open(address: SocketAddr) -> Result<Self> {
        let client = Http2::open(address)?;
        let (words, payload) = Payload::stream();
        let request = Http2::request("POST", Self::METHOD)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .header("x-echo-read", "later");
        let mut answer = client.begin(request.body(payload)?)?;
        ensure!(answer.status() == 200, "{answer:?}");
        let first = client.next_data(&mut answer)?;
        ensure!(first == BEGINNING, "{first:?}");
        Ok(Self { client, words, answer, said: 0 })
    }

    /// Sends a message, and waits until the backend has it.
    pub(super) fn say(&mut self, backend: &Echo) -> Result<()> {
        let sending = self.words.send(Frame::data(Bytes::from_static(MESSAGE)));
        self.client.run(sending).ok().context("the stream has ended")?;
        self.said += Self::WORD;
        wait_until("the message arrives", SOON, || {
            ensure!(backend.body_received() == self.said, "{} bytes of {}", backend.body_received(), self.said);
            Ok(())
        })
    }

    /// Ends the request; gives what the backend says of it at the end of its answer.
    pub(super) fn end(self) -> Result<Echoed> {
        let Self { client, words, answer, .. } = self;
        drop(words);
        Echoed::read(&client.finish(answer)?.body)
    }
}
