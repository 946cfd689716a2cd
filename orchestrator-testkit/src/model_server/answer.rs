//! What a scripted model answers, in no API's words.

use serde_json::Value;

/// One answer to one request.
#[derive(Debug, Clone)]
pub struct Answer {
    pub(super) kind: Kind,
    pub(super) headers: Vec<(String, String)>,
    pub(super) ending: Ending,
    pub(super) input_tokens: u64,
    pub(super) output_tokens: u64,
    pub(super) stop: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Says(Vec<Part>),
    Streams(Vec<Value>),
    Fails {
        status: u16,
        body: Option<Value>,
        kind: String,
        message: String,
    },
    Hangs,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Whole,
    /// The connection ends behind so many events.
    BreaksOff(usize),
    /// Nothing comes behind so many events, and the connection stays.
    Hangs(usize),
}

/// A part of what the model says.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Part {
    /// Words.
    Text(String),
    /// A tool that the agent is to run.
    Call {
        /// The tool's name.
        name: String,
        /// Its arguments.
        arguments: Value,
    },
    /// Something in the API's own words: an output item of Responses, a content block of Messages; chat completions leave it out.
    Raw(Value),
}

impl Answer {
    fn of(kind: Kind) -> Self {
        Self {
            kind,
            headers: Vec::new(),
            ending: Ending::Whole,
            input_tokens: 100,
            output_tokens: 20,
            stop: None,
        }
    }

    /// Words, and the end of the turn.
    #[must_use]
    pub fn say(text: impl Into<String>) -> Self {
        Self::of(Kind::Says(vec![Part::Text(text.into())]))
    }

    /// A tool is to be run with these arguments.
    #[must_use]
    pub fn call(name: impl Into<String>, arguments: Value) -> Self {
        Self::of(Kind::Says(vec![Part::Call {
            name: name.into(),
            arguments,
        }]))
    }

    /// Several parts at once.
    #[must_use]
    pub fn parts(parts: impl IntoIterator<Item = Part>) -> Self {
        Self::of(Kind::Says(parts.into_iter().collect()))
    }

    /// A stream of events in the API's own words, each with its `type`, such as `response.failed`.
    #[must_use]
    pub fn events(events: impl IntoIterator<Item = Value>) -> Self {
        Self::of(Kind::Streams(events.into_iter().collect()))
    }

    /// An HTTP error, with the API's name for it, such as `rate_limit_error`.
    #[must_use]
    pub fn fail(status: u16, kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(Kind::Fails {
            status,
            body: None,
            kind: kind.into(),
            message: message.into(),
        })
    }

    /// An HTTP answer with this body.
    #[must_use]
    pub fn http(status: u16, body: Value) -> Self {
        Self::of(Kind::Fails {
            status,
            body: Some(body),
            kind: String::new(),
            message: String::new(),
        })
    }

    /// No answer at all, not even a head, until the client gives up.
    #[must_use]
    pub fn hang() -> Self {
        Self::of(Kind::Hangs)
    }

    /// Adds a header, such as `retry-after`.
    #[must_use]
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sets what it cost, in tokens; 100 and 20 where nothing is set.
    #[must_use]
    pub fn costing(mut self, input: u64, output: u64) -> Self {
        (self.input_tokens, self.output_tokens) = (input, output);
        self
    }

    /// Lets the connection break off behind so many events of the stream.
    #[must_use]
    pub fn breaking_off_after(mut self, events: usize) -> Self {
        self.ending = Ending::BreaksOff(events);
        self
    }

    /// Lets nothing come behind so many events of the stream, and the connection stay open.
    #[must_use]
    pub fn hanging_after(mut self, events: usize) -> Self {
        self.ending = Ending::Hangs(events);
        self
    }

    /// Sets why it stopped, in the API's own words, such as `max_tokens` or `refusal`.
    #[must_use]
    pub fn stopping_for(mut self, reason: impl Into<String>) -> Self {
        self.stop = Some(reason.into());
        self
    }
}
