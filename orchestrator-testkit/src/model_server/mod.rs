//! A model behind an API on loopback, which says what a test wants: so that the real command lines of agents can be run where there
//! is no model and no network.
//!
//! ```text
//! real agent ──HTTP──► ModelServer ──► script: what comes next?  ──► Answer ──┬─► OpenAI Responses        POST …/responses
//!                          │                                                 ├─► OpenAI chat completions POST …/chat/completions
//!                          └── the log: every request                        └─► Anthropic Messages      POST …/v1/messages
//! ```
//!
//! An [`Answer`] knows no API: the same script serves all three, streaming or not. The shapes are the least that the real command
//! lines accept, found by running them (OpenAI's `codex` 0.169.0, Anthropic's `claude` 2.1.197, `opencode` 1.18.33).

mod answer;
mod chat;
mod messages;
mod responses;
mod script;

pub use answer::{Answer, Part};
pub use script::Script;

use std::{
    collections::VecDeque,
    convert::Infallible,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use answer::{Ending, Kind};
use http_body_util::{BodyExt as _, Full, combinators::BoxBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Frame, Incoming},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Which API was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Api {
    /// OpenAI's Responses.
    Responses,
    /// OpenAI's chat completions, which many others speak.
    Chat,
    /// Anthropic's Messages.
    Messages,
}

/// One request for the model.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ModelRequest {
    /// By which API.
    pub api: Api,
    /// With the query, if there is one.
    pub path: String,
    /// In lower case, in the order in which they came; those that are no text are left out.
    pub headers: Vec<(String, String)>,
    /// The whole body.
    pub body: Value,
}

impl ModelRequest {
    /// The body as text, for a search in it.
    #[must_use]
    pub fn text(&self) -> String {
        self.body.to_string()
    }

    /// Whether the agent asks on its task: it brings tools along. Agents also ask for a title, a summary, a classification.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        let listed = self.body["tools"]
            .as_array()
            .is_some_and(|tools| !tools.is_empty());
        listed || self.text().contains("\"additional_tools\"")
    }

    fn streams(&self) -> bool {
        self.body["stream"].as_bool().unwrap_or(false)
    }
}

/// Tokens that the server has charged for one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Served {
    /// By which API.
    pub api: Api,
    /// The text by which [`Script::when`] or [`Script::asked`] knew the thread; `None` for the rest.
    pub thread: Option<String>,
    /// Tokens read.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

#[derive(Debug)]
struct Shared {
    script: Mutex<Script>,
    requests: Mutex<Vec<ModelRequest>>,
    served: Mutex<Vec<Served>>,
    others: Mutex<Vec<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind it is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server on 127.0.0.1, in a thread of its own, which ends when this is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<tokio::runtime::Runtime>,
}

impl fmt::Debug for ModelServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ModelServer")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl ModelServer {
    /// Begins to listen, on a port that the system chooses.
    ///
    /// # Panics
    /// When there is no loopback.
    #[must_use]
    pub fn start(script: Script) -> Self {
        let shared = Arc::new(Shared {
            script: Mutex::new(script),
            requests: Mutex::default(),
            served: Mutex::default(),
            others: Mutex::default(),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listening =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
        let address = listening.local_addr().expect("it has an address");
        listening
            .set_nonblocking(true)
            .expect("it can be waited for");
        let (enter, serving) = (runtime.enter(), Arc::clone(&shared));
        let listener = TcpListener::from_std(listening).expect("it can be waited for");
        drop(enter);
        runtime.spawn(async move {
            // Whoever comes when there are no more descriptors comes again.
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                let service = service_fn(move |request| answer(Arc::clone(&shared), request));
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A client that goes away, and a stream that is to break off, end a connection alike.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self {
            address,
            shared,
            runtime: Some(runtime),
        }
    }

    /// `http://127.0.0.1:PORT`, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Each request for the model so far, in the order in which they came.
    #[must_use]
    pub fn requests(&self) -> Vec<ModelRequest> {
        lock(&self.shared.requests).clone()
    }

    /// What each answer has cost so far that was sent whole, in the order in which they were asked
    /// for. An answer counts as soon as it is made: a client that goes away meanwhile may not have it.
    #[must_use]
    pub fn served(&self) -> Vec<Served> {
        lock(&self.shared.served).clone()
    }

    /// What else was asked for so far, as `METHOD path`: it was answered with 404.
    #[must_use]
    pub fn others(&self) -> Vec<String> {
        lock(&self.shared.others).clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Body = BoxBody<Bytes, BrokeOff>;

/// Why a stream has no end.
#[derive(Debug)]
struct BrokeOff;

impl fmt::Display for BrokeOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream is to break off here")
    }
}

impl std::error::Error for BrokeOff {}

/// A stream of events, with its end.
#[derive(Debug)]
struct Events {
    events: VecDeque<Bytes>,
    ending: Ending,
    flushed: bool,
}

impl hyper::body::Body for Events {
    type Data = Bytes;
    type Error = BrokeOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokeOff>>> {
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(event))));
        }
        match self.ending {
            Ending::Whole => Poll::Ready(None),
            Ending::Hangs(_) => Poll::Pending,
            Ending::BreaksOff(_) if self.flushed => Poll::Ready(Some(Err(BrokeOff))),
            // What was sent is written out only while there is nothing more to send.
            Ending::BreaksOff(_) => {
                self.flushed = true;
                context.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

fn respond(
    status: StatusCode,
    kind: &str,
    headers: &[(String, String)],
    body: Body,
) -> Response<Body> {
    let mut response = Response::builder()
        .status(status)
        .header("content-type", kind);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(body).expect("a script's headers are headers")
}

fn whole(status: StatusCode, headers: &[(String, String)], body: &Value) -> Response<Body> {
    let body = Full::new(Bytes::from(body.to_string()))
        .map_err(|never: Infallible| match never {})
        .boxed();
    respond(status, "application/json", headers, body)
}

fn streamed(mut events: Vec<String>, answer: &Answer) -> Response<Body> {
    if let Ending::BreaksOff(at) | Ending::Hangs(at) = answer.ending {
        events.truncate(at);
    }
    let events = events.into_iter().map(Bytes::from).collect();
    let body = Events {
        events,
        ending: answer.ending,
        flushed: false,
    }
    .boxed();
    respond(
        StatusCode::OK,
        "text/event-stream; charset=utf-8",
        &answer.headers,
        body,
    )
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let path = parts
        .uri
        .path_and_query()
        .map_or_else(|| "/".to_owned(), ToString::to_string);
    let bytes = body
        .collect()
        .await
        .map(http_body_util::Collected::to_bytes)
        .unwrap_or_default();
    let route = parts.uri.path();
    let api = match (&parts.method, serde_json::from_slice::<Value>(&bytes)) {
        (&Method::POST, Ok(body)) if route.ends_with("/responses") => Some((Api::Responses, body)),
        (&Method::POST, Ok(body)) if route.ends_with("/chat/completions") => {
            Some((Api::Chat, body))
        }
        (&Method::POST, Ok(body)) if route.ends_with("/messages") => Some((Api::Messages, body)),
        (&Method::POST, Ok(_)) if route.ends_with("/count_tokens") => {
            return Ok(whole(StatusCode::OK, &[], &json!({ "input_tokens": 100 })));
        }
        _ => None,
    };
    let Some((api, body)) = api else {
        lock(&shared.others).push(format!("{} {path}", parts.method));
        let body = json!({ "type": "error", "error": { "type": "not_found_error", "message": "not found" } });
        return Ok(whole(StatusCode::NOT_FOUND, &[], &body));
    };
    let text = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        Some((name.to_string(), value.to_str().ok()?.to_owned()))
    };
    let headers = parts.headers.iter().filter_map(text).collect();
    let request = ModelRequest {
        api,
        path,
        headers,
        body,
    };
    let (next, number) = {
        let mut requests = lock(&shared.requests);
        requests.push(request.clone());
        let (next, thread) = lock(&shared.script).next(&request);
        lock(&shared.served).extend(served(&next, api, thread));
        (next, requests.len())
    };
    Ok(render(&next, &request, number).await)
}

/// What an answer costs, if it is sent whole.
fn served(answer: &Answer, api: Api, thread: Option<String>) -> Option<Served> {
    let is_whole = matches!(answer.kind, Kind::Says(_)) && matches!(answer.ending, Ending::Whole);
    is_whole.then_some(Served {
        api,
        thread,
        input_tokens: answer.input_tokens,
        output_tokens: answer.output_tokens,
    })
}

/// The answer in the words of the API that was asked.
async fn render(answer: &Answer, request: &ModelRequest, number: usize) -> Response<Body> {
    match &answer.kind {
        Kind::Hangs => std::future::pending().await,
        Kind::Fails {
            status,
            body,
            kind,
            message,
        } => {
            let body = body.clone().unwrap_or_else(|| match request.api {
                Api::Messages => {
                    json!({ "type": "error", "error": { "type": kind, "message": message } })
                }
                Api::Responses | Api::Chat => {
                    json!({ "error": { "type": kind, "code": kind, "message": message } })
                }
            });
            whole(
                StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                &answer.headers,
                &body,
            )
        }
        Kind::Says(parts) if !request.streams() => {
            let body = match request.api {
                Api::Responses => responses::whole(parts, answer, number),
                Api::Chat => chat::whole(parts, answer, request, number),
                Api::Messages => messages::whole(parts, answer, request, number),
            };
            whole(StatusCode::OK, &answer.headers, &body)
        }
        Kind::Says(parts) => {
            let events = match request.api {
                Api::Responses => responses::events(parts, answer, number),
                Api::Chat => chat::events(parts, answer, request, number),
                Api::Messages => messages::events(parts, answer, request, number),
            };
            streamed(events, answer)
        }
        Kind::Streams(events) => streamed(
            events
                .iter()
                .map(|data| event(data["type"].as_str(), data))
                .collect(),
            answer,
        ),
    }
}

/// One event of a stream, as Server-Sent Events have it.
fn event(kind: Option<&str>, data: &Value) -> String {
    let kind = kind
        .map(|kind| format!("event: {kind}\n"))
        .unwrap_or_default();
    format!("{kind}data: {data}\n\n")
}
