//! Recordings of real agents, played again.

use std::time::Duration;

use serde_json::Value;

use crate::{Play, Step};

/// A recording: what the agent wrote, where it listened, how it ended. It becomes a [`Play`], so that it runs through a real process.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replay {
    /// With the time since the recording began, where that was recorded.
    steps: Vec<(Option<Duration>, Step)>,
    exit: i32,
}

impl Replay {
    /// What the agent wrote to its standard output, byte by byte, after it had read all of its standard input.
    #[must_use]
    pub fn of_output(output: impl Into<Vec<u8>>) -> Self {
        Self {
            steps: vec![(None, Step::HearAll), (None, Step::Say(output.into()))],
            exit: 0,
        }
    }

    /// What an agent that goes on listening wrote to its standard output, byte by byte, after it had read one line.
    #[must_use]
    pub fn of_answer(output: impl Into<Vec<u8>>) -> Self {
        Self {
            steps: vec![(None, Step::Hear), (None, Step::Say(output.into()))],
            exit: 0,
        }
    }

    /// A conversation: one JSON object in each line, with `dir`, a time `t` in units of `unit`, and the line that was sent as `line` or
    /// `frame`. A `dir` that begins with `host` or `client` was sent to the agent: there, the replay waits for a line. One that
    /// begins with `cli` (but not `client`) or `agent` was said by it; `exit` holds its exit status as `code`; another is a remark.
    ///
    /// # Errors
    /// With the number of a line that is none of these.
    pub fn of_conversation(recording: &str, unit: Duration) -> Result<Self, String> {
        let mut replay = Self::default();
        for (number, text) in recording
            .lines()
            .enumerate()
            .filter(|(_, text)| !text.trim().is_empty())
        {
            let wrong = |what: &str| format!("line {}: {what}", number + 1);
            let entry: Value =
                serde_json::from_str(text).map_err(|error| wrong(&error.to_string()))?;
            let at = entry["t"]
                .as_f64()
                .map(|units| unit.mul_f64(units.max(0.0)));
            let sent = if entry["line"].is_null() {
                &entry["frame"]
            } else {
                &entry["line"]
            };
            match entry["dir"].as_str().ok_or_else(|| wrong("no `dir`"))? {
                dir if dir.starts_with("host") || dir.starts_with("client") => {
                    replay.steps.push((None, Step::Hear));
                }
                dir if dir.starts_with("cli") || dir.starts_with("agent") => {
                    let line = sent
                        .as_str()
                        .map_or_else(|| sent.to_string(), str::to_owned);
                    replay.steps.push((at, Step::line(line)));
                }
                "exit" => {
                    replay.exit = sent["code"]
                        .as_i64()
                        .and_then(|code| i32::try_from(code).ok())
                        .unwrap_or(1);
                }
                _ => {}
            }
        }
        // Until then the agent was there; it ends when nobody speaks to it any more.
        replay.steps.push((None, Step::HearAll));
        Ok(replay)
    }

    /// Sets how it ended: an exit status, or the negative number of a signal, as in Python's `subprocess`.
    #[must_use]
    pub fn ending(mut self, status: i32) -> Self {
        self.exit = status;
        self
    }

    /// Adds what it wrote to its standard error, before it ended.
    #[must_use]
    pub fn complaining(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.steps.push((None, Step::Complain(text.into())));
        self
    }

    /// As fast as it goes.
    #[must_use]
    pub fn play(&self) -> Play {
        self.paced(0.0)
    }

    /// With its pauses, made longer or shorter by this factor; where no times were recorded, as fast as it goes.
    #[must_use]
    pub fn paced(&self, factor: f64) -> Play {
        let (mut steps, mut now) = (Vec::new(), Duration::ZERO);
        for (at, step) in &self.steps {
            let pause = at.map_or(Duration::ZERO, |at| at.saturating_sub(now).mul_f64(factor));
            if !pause.is_zero() {
                steps.push(Step::Pause(pause));
            }
            now = at.unwrap_or(now).max(now);
            steps.push(step.clone());
        }
        steps.push(if self.exit < 0 {
            Step::Die(-self.exit)
        } else {
            Step::Exit(self.exit)
        });
        Play::new(steps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TALK: &str = r#"{"t": 0, "dir": "client->agent", "frame": {"id": 1}}
{"t": 1000, "dir": "agent->client", "frame": {"id": 1, "result": {}}}

{"t": 1500, "dir": "agent->client", "line": "as it was"}
{"t": 9000, "dir": "note", "frame": "closing stdin"}
{"t": 9100, "dir": "exit", "frame": {"code": 3}}"#;

    #[test]
    fn a_conversation_is_played_with_its_pauses_or_without() {
        let replay = Replay::of_conversation(TALK, Duration::from_millis(1)).expect("a recording");
        let said = [
            Step::line(r#"{"id":1,"result":{}}"#),
            Step::line("as it was"),
        ];
        let [first, second] = said.clone();
        assert_eq!(
            replay.play().steps(),
            [
                Step::Hear,
                first.clone(),
                second.clone(),
                Step::HearAll,
                Step::Exit(3)
            ]
        );
        let pause = |millis| Step::Pause(Duration::from_millis(millis));
        let half = [
            Step::Hear,
            pause(500),
            first,
            pause(250),
            second,
            Step::HearAll,
            Step::Exit(3),
        ];
        assert_eq!(replay.paced(0.5).steps(), half);
    }

    #[test]
    fn a_signal_and_a_complaint_are_played_and_a_line_that_is_none_is_named() {
        let replay = Replay::of_output("said\n").complaining("no\n").ending(-9);
        let expected = [
            Step::HearAll,
            Step::Say(b"said\n".to_vec()),
            Step::Complain(b"no\n".to_vec()),
            Step::Die(9),
        ];
        assert_eq!(replay.play().steps(), expected);
        let error = Replay::of_conversation("{\"dir\":\"exit\"}\n{\"t\":1}", Duration::ZERO)
            .expect_err("the second is none");
        assert_eq!(error, "line 2: no `dir`");
    }
}
