//! What a scripted model says next.

use std::{collections::VecDeque, fmt, sync::Arc};

use super::{ModelRequest, answer::Answer};

/// What the model says to each request in turn.
#[derive(Debug, Clone, Default)]
pub struct Script {
    threads: Vec<(String, Thread)>,
    rest: VecDeque<Answer>,
    aside: Option<Answer>,
}

#[derive(Clone)]
enum Thread {
    Answers(VecDeque<Answer>),
    Asked(Arc<dyn Fn(&ModelRequest) -> Answer + Send + Sync>),
}

impl fmt::Debug for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(answers) => f.debug_tuple("Answers").field(answers).finish(),
            Self::Asked(_) => f.write_str("Asked"),
        }
    }
}

impl Script {
    /// These answers, one for each request that brings tools along; the last one again and again.
    #[must_use]
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            rest: answers.into_iter().collect(),
            ..Self::default()
        }
    }

    /// Other answers for requests whose body contains this text, such as a task's id. The first that matches counts.
    #[must_use]
    pub fn when(
        mut self,
        text: impl Into<String>,
        answers: impl IntoIterator<Item = Answer>,
    ) -> Self {
        let answers = Thread::Answers(answers.into_iter().collect());
        self.threads.push((text.into(), answers));
        self
    }

    /// For requests whose body contains this text, the answer follows from the request, such as from
    /// what the agent's commands have printed. So it fits also where an answer before it was lost.
    #[must_use]
    pub fn asked(
        mut self,
        text: impl Into<String>,
        answer: impl Fn(&ModelRequest) -> Answer + Send + Sync + 'static,
    ) -> Self {
        self.threads
            .push((text.into(), Thread::Asked(Arc::new(answer))));
        self
    }

    /// What is said to requests that bring no tools; `ok` where nothing is set.
    #[must_use]
    pub fn aside(mut self, answer: Answer) -> Self {
        self.aside = Some(answer);
        self
    }

    /// The next answer, and the text by which its thread is known.
    pub(super) fn next(&mut self, request: &ModelRequest) -> (Answer, Option<String>) {
        if !request.has_tools() {
            let aside = self.aside.clone();
            return (aside.unwrap_or_else(|| Answer::say("ok")), None);
        }
        let text = request.text();
        let found = self
            .threads
            .iter_mut()
            .find(|(part, _)| text.contains(part.as_str()));
        match found {
            Some((part, Thread::Asked(answer))) => (answer(request), Some(part.clone())),
            Some((part, Thread::Answers(answers))) => (following(answers), Some(part.clone())),
            None => (following(&mut self.rest), None),
        }
    }
}

/// The first of these answers; the last one stays.
fn following(answers: &mut VecDeque<Answer>) -> Answer {
    let next = if answers.len() > 1 {
        answers.pop_front()
    } else {
        answers.front().cloned()
    };
    next.unwrap_or_else(|| Answer::say("the script has no answer to this"))
}
