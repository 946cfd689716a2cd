//! The model behind both agents, with the faults of its services.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError, mpsc::Sender},
    time::{SystemTime, UNIX_EPOCH},
};

use orchestrator_testkit::model_server::{Answer, Api, ModelRequest};
use serde_json::json;

/// What may go wrong in a night.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Claude's usage limit is reached.
    ClaudeLimit,
    /// Codex's usage limit is reached.
    CodexLimit,
    /// Claude's service is away.
    Outage,
    /// Codex's login is lost.
    Login,
    /// The orchestrator is stopped in order.
    Stop,
    /// The orchestrator is killed.
    Kill,
}

/// The faults, each with the task in which it comes, after its first step. While another one is
/// not known yet, it waits for a later task of the same agent.
pub(crate) const FAULTS: [(&str, Fault); 6] = [
    ("X02", Fault::Login),
    ("C04", Fault::Stop),
    ("C06", Fault::ClaudeLimit),
    ("X06", Fault::CodexLimit),
    ("C09", Fault::Kill),
    ("C12", Fault::Outage),
];

/// What the night is driven by.
#[derive(Debug)]
pub(crate) enum Event {
    /// A fault begins.
    Fault(Fault),
    /// A run of the orchestrator has said something.
    Said { run: u32, line: String },
    /// A run of the orchestrator has said its last word.
    Over { run: u32 },
}

/// One task as the model knows it.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) steps: usize,
}

impl Job {
    /// All of its file when it is complete.
    pub(crate) fn content(&self) -> String {
        let steps = (1..=self.steps).map(|step| format!("step {step} of {}\n", self.steps));
        steps.collect()
    }

    /// Commits a step, and says so; also where it was committed before, or half of it was.
    fn command(&self, step: usize) -> String {
        let Self { id, steps } = self;
        format!(
            "n={step}; grep -qx \"step $n of {steps}\" {id}.txt 2> /dev/null || echo \"step $n of {steps}\" >> {id}.txt; \
             git add {id}.txt; git diff --cached --quiet || git commit -qm \"{id}: step $n of {steps}\"; \
             git diff --quiet HEAD && echo \"committed {id} $n\""
        )
    }

    /// How many steps its commands have said to be committed in this conversation.
    fn committed(&self, said: &str) -> usize {
        let is_committed = |step: &usize| said.contains(&format!("committed {} {step}", self.id));
        (1..=self.steps).take_while(is_committed).count()
    }
}

/// The state of both services.
#[derive(Debug, Default)]
pub(crate) struct Services {
    /// The task in which each fault has come.
    begun: BTreeMap<Fault, String>,
    /// The fault that has begun, and that the orchestrator may not know yet.
    unknown: Option<Fault>,
    /// Until when a limit holds, in seconds since 1970.
    limited: BTreeMap<Fault, u64>,
    /// What goes on until somebody ends it.
    lasting: BTreeSet<Fault>,
    /// How many requests were refused, by what.
    refused: BTreeMap<Fault, usize>,
}

/// Both services, and who hears of their faults.
#[derive(Debug)]
pub(crate) struct Model {
    services: Mutex<Services>,
    events: Mutex<Sender<Event>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("it is after 1970").as_secs()
}

impl Model {
    pub(crate) fn new(events: Sender<Event>) -> Self {
        Self {
            services: Mutex::default(),
            events: Mutex::new(events),
        }
    }

    /// The fault that has begun, and of which nobody has said that it is known.
    pub(crate) fn unknown(&self) -> Option<Fault> {
        lock(&self.services).unknown
    }

    /// The orchestrator knows the fault that has begun: the next one may come.
    pub(crate) fn is_known(&self) {
        lock(&self.services).unknown = None;
    }

    /// The faults that have come, each with its task.
    pub(crate) fn begun(&self) -> BTreeMap<Fault, String> {
        lock(&self.services).begun.clone()
    }

    /// A fault that lasts is over: a service is back, a login is repaired.
    pub(crate) fn repair(&self, fault: Fault) {
        lock(&self.services).lasting.remove(&fault);
    }

    pub(crate) fn lasts(&self, fault: Fault) -> bool {
        lock(&self.services).lasting.contains(&fault)
    }

    pub(crate) fn refused(&self, fault: Fault) -> usize {
        let services = lock(&self.services);
        services.refused.get(&fault).copied().unwrap_or_default()
    }

    /// The next answer in a conversation about this task.
    pub(crate) fn answer(&self, job: &Job, request: &ModelRequest) -> Answer {
        let said = request.text();
        let committed = job.committed(&said);
        let mut services = lock(&self.services);
        if committed == 1
            && job.steps > 1
            && let Some(fault) = services.due_in(&job.id)
        {
            services.begin(fault, &job.id);
            lock(&self.events).send(Event::Fault(fault)).ok();
            if matches!(fault, Fault::Stop | Fault::Kill) {
                return Answer::hang();
            }
        }
        if let Some(refusal) = services.refusal(request.api) {
            return refusal;
        }
        drop(services);
        // Each answer of a night has a price of its own.
        let price = 100 + said.len() as u64 % 97;
        let is_done = committed == job.steps;
        let answer = match request.api {
            Api::Messages if is_done => Answer::call("StructuredOutput", handoff(job, &said)),
            Api::Messages => Answer::call(
                "Bash",
                json!({ "command": job.command(committed + 1), "description": "a step" }),
            ),
            _ if is_done => Answer::say(handoff(job, &said).to_string()),
            _ => Answer::call(
                "exec_command",
                json!({ "cmd": job.command(committed + 1), "yield_time_ms": 60_000 }),
            ),
        };
        answer.costing(price, 20 + committed as u64)
    }
}

impl Services {
    /// The fault that is to come in this task, once the one before is known.
    fn due_in(&self, task: &str) -> Option<Fault> {
        let agent = task.get(..1)?;
        let mut left = FAULTS
            .iter()
            .filter(|(place, fault)| place.starts_with(agent) && !self.begun.contains_key(fault));
        let (place, fault) = left.next()?;
        let is_due = self.unknown.is_none() && *place <= task;
        is_due.then_some(*fault)
    }

    fn begin(&mut self, fault: Fault, task: &str) {
        self.begun.insert(fault, task.to_owned());
        self.unknown = Some(fault);
        match fault {
            Fault::ClaudeLimit | Fault::CodexLimit => self.limit(fault),
            Fault::Outage | Fault::Login => drop(self.lasting.insert(fault)),
            Fault::Stop | Fault::Kill => {}
        }
    }

    /// A limit holds for some seconds from now on.
    fn limit(&mut self, fault: Fault) {
        let length = if fault == Fault::ClaudeLimit { 10 } else { 5 };
        self.limited.insert(fault, seconds() + length);
    }

    /// What is said in place of an answer, as long as a fault of this service lasts.
    fn refusal(&mut self, api: Api) -> Option<Answer> {
        let limit = match api {
            Api::Messages => Fault::ClaudeLimit,
            _ => Fault::CodexLimit,
        };
        let lasting = match api {
            Api::Messages => Fault::Outage,
            _ => Fault::Login,
        };
        // On a slow machine it would be over before anybody knows of it.
        if self.unknown == Some(limit) {
            self.limit(limit);
        }
        let until = self.limited.get(&limit).copied();
        let (fault, answer) = match until.filter(|until| seconds() < *until) {
            Some(until) if limit == Fault::ClaudeLimit => (limit, claude_limit(until)),
            Some(until) => (limit, codex_limit(until)),
            None if self.lasting.contains(&lasting) => (lasting, failure(lasting)),
            None => return None,
        };
        *self.refused.entry(fault).or_default() += 1;
        Some(answer)
    }
}

fn failure(fault: Fault) -> Answer {
    match fault {
        Fault::Login => Answer::fail(401, "invalid_api_key", "Incorrect API key provided"),
        _ => Answer::fail(503, "api_error", "Service unavailable"),
    }
}

fn codex_limit(until: u64) -> Answer {
    let message = "The usage limit has been reached";
    let error = json!({ "type": "usage_limit_reached", "message": message, "resets_at": until });
    Answer::http(429, json!({ "error": error }))
}

fn claude_limit(until: u64) -> Answer {
    let message = "This request would exceed your account's rate limit.";
    let kind = "anthropic-ratelimit-unified-representative-claim";
    Answer::fail(429, "rate_limit_error", message)
        .with_header("anthropic-ratelimit-unified-status", "rejected")
        .with_header(kind, "five_hour")
        .with_header("anthropic-ratelimit-unified-reset", until.to_string())
}

/// The handoff of the attempt that this conversation is about.
fn handoff(job: &Job, said: &str) -> serde_json::Value {
    let (_, rest) = said
        .rsplit_once(&format!("attempt/{}/", job.id))
        .unwrap_or_else(|| panic!("a prompt names its branch: {said}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let attempt: u32 = digits.parse().expect("a branch ends in its number");
    json!({
        "version": 1, "task": job.id, "attempt": attempt, "status": "done", "reason": null,
        "branch": null, "commit": null, "changed_files": [format!("{}.txt", job.id)], "gates": [],
        "artifacts": [], "self_review": "read it once more", "residual_risks": [], "evidence": [],
    })
}
