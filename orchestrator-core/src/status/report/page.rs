//! What stands on the page, in its order; how it looks is each renderer's.

use super::{
    Report,
    timeline::{Timeline, timeline},
};
use crate::{
    model::{Opinion, Review, Severity, Span, Timestamp},
    status::{
        AttemptEnd, AttemptStory, EvidenceView, HoldView, TaskState, TaskStory, TaskView, costs,
    },
};

/// Of changed or named things, so many are listed.
const MANY: usize = 20;

/// One part of the page, from top to bottom.
#[derive(Debug)]
pub(super) enum Block {
    Title(String),
    Lead(String),
    Section(&'static str),
    /// A thing of its own within a section.
    Entry(String),
    Paragraph(String),
    /// Name and value.
    Facts(Vec<[String; 2]>),
    List(Vec<String>),
    /// Printed as it is.
    Printed(String),
    Timeline(Timeline),
}

pub(super) fn of(report: &Report) -> Vec<Block> {
    let mut page = head(report);
    delivered(report, &mut page);
    waiting(report, &mut page);
    wrong(report, &mut page);
    page.push(Block::Section("What happened when"));
    page.push(Block::Timeline(timeline(report)));
    page.push(Block::List(
        report
            .events
            .iter()
            .map(|event| format!("{}: {}", time(event.at), event.what))
            .collect(),
    ));
    page.push(Block::Section("In numbers"));
    page.push(Block::Facts(report.figures.rows()));
    used(report, &mut page);
    page
}

/// What was used, by agent and model, and for each task.
fn used(report: &Report, page: &mut Vec<Block>) {
    page.push(Block::Section("What was used"));
    page.push(Block::List(costs::lines(&report.figures.used)));
    let begun = report.tasks.iter().filter(|task| !task.attempts.is_empty());
    let each = begun.map(|task| format!("{}: {}", task.id, task.spend()));
    page.push(Block::List(each.collect()));
}

/// One task, with the contract of its last attempt.
pub(super) fn of_task(report: &Report, task: &TaskStory) -> Vec<Block> {
    let view = report.snapshot.tasks.iter().find(|view| view.id == task.id);
    let mut page = vec![Block::Title(format!("{}: {}", task.id, task.title))];
    let state = view.map_or("no longer in the roadmap".to_owned(), |view| {
        view.state.to_string()
    });
    page.push(Block::Lead(format!(
        "It is {state}, after {} attempts.",
        task.attempts.len()
    )));
    for attempt in &task.attempts {
        page.push(Block::Entry(format!("Attempt {}", attempt.id.number)));
        match failure(attempt) {
            Some((word, reason)) => {
                page.push(Block::Paragraph(format!(
                    "It was under contract {}, and {word}:",
                    attempt.contract_hash
                )));
                page.push(Block::Printed(reason.to_owned()));
                page.push(Block::List(remains(attempt, view)));
            }
            None => {
                page.push(Block::Facts(acceptance(task, attempt)));
                page.push(Block::List(evidence(attempt)));
            }
        }
    }
    if let Some(attempt) = task.attempts.last() {
        page.push(Block::Section("The contract"));
        let json = serde_json::to_string_pretty(&attempt.contract)
            .expect("our own data has string keys and serialises");
        page.push(Block::Printed(json));
    }
    let asked = task.holds.iter().map(|story| {
        let answer = match (&story.answer, story.ended) {
            (Some(answer), _) => {
                let (by, note) = (
                    answer.by.as_deref().unwrap_or("a person"),
                    answer.note.as_deref().unwrap_or("without a word"),
                );
                format!("{by} answered {}: {note}", answer.option)
            }
            (None, Some(_)) => "the reason went away by itself".to_owned(),
            (None, None) => "nobody has answered".to_owned(),
        };
        format!(
            "{}, {}: {} {answer}",
            story.hold.id,
            time(story.hold.since),
            ended(&story.hold.question())
        )
    });
    let asked: Vec<_> = asked.collect();
    if !asked.is_empty() {
        page.push(Block::Section("What a person was asked"));
        page.push(Block::List(asked));
    }
    page
}

fn head(report: &Report) -> Vec<Block> {
    let snapshot = &report.snapshot;
    let count = |state: TaskState| {
        snapshot
            .tasks
            .iter()
            .filter(|task| task.state == state)
            .count()
    };
    let (all, landed, held) = (
        snapshot.tasks.len(),
        count(TaskState::Landed),
        count(TaskState::Held),
    );
    let open = all - landed - held - count(TaskState::Parked);
    let title = match &snapshot.run {
        Some(run) => format!("Run {run}"),
        None => "No run yet".to_owned(),
    };
    let asked = match held {
        0 => "Nothing waits for you.".to_owned(),
        1 => "1 waits for you.".to_owned(),
        held => format!("{held} wait for you."),
    };
    let going = match snapshot.ended {
        Some(reason) => format!("The run ended: {reason}."),
        None => format!("The run goes on; its mode is {}.", snapshot.mode),
    };
    let parked = count(TaskState::Parked);
    let lead = format!(
        "{landed} of {all} tasks have landed. {asked} {parked} were given up, {open} are on their way or not begun. {going}"
    );
    let span = format!(
        "From {} to {} (UTC).",
        day_and_time(report.from),
        day_and_time(report.to)
    );
    vec![
        Block::Title(title),
        Block::Lead(lead),
        Block::Paragraph(span),
    ]
}

fn delivered(report: &Report, page: &mut Vec<Block>) {
    page.push(Block::Section("Delivered"));
    let mut landed: Vec<_> = attempts(report)
        .filter(|(_, attempt)| matches!(attempt.end, AttemptEnd::Accepted { .. }))
        .collect();
    landed.sort_by_key(|(_, attempt)| attempt.ended);
    if landed.is_empty() {
        page.push(Block::Paragraph("Nothing.".to_owned()));
    }
    for (task, attempt) in landed {
        page.push(Block::Entry(format!("{}: {}", task.id, task.title)));
        page.push(Block::Facts(acceptance(task, attempt)));
        page.push(Block::List(evidence(attempt)));
    }
}

/// What was accepted, and on what it rests.
fn acceptance(task: &TaskStory, attempt: &AttemptStory) -> Vec<[String; 2]> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push([name.to_owned(), value]);
    if let (AttemptEnd::Accepted { commit }, Some(ended)) = (&attempt.end, attempt.ended) {
        fact("landed", format!("as {commit}, {}", time(ended)));
    }
    if let Some(package) = &task.package {
        fact("package", package.to_string());
    }
    let back = match attempt.revisions {
        0 => String::new(),
        1 => ", sent back once".to_owned(),
        times => format!(", sent back {times} times"),
    };
    let took = attempt
        .ended
        .map(|ended| format!(", in {}", roughly(ended.since(attempt.began))))
        .unwrap_or_default();
    fact(
        "by",
        format!(
            "{}, in attempt {}{back}{took}",
            attempt.agent, attempt.id.number
        ),
    );
    for line in costs::lines(&attempt.used) {
        fact("used", line);
    }
    if let Some(failover) = &attempt.failover {
        fact("failover", failover.to_string());
    }
    for ended in &attempt.continued {
        fact("went on", format!("after turn {}: {ended}", ended.turn));
    }
    for nudge in &attempt.nudges {
        fact(
            "silent",
            format!("{}, {}", time(nudge.at), nudge.in_words()),
        );
    }
    let Some(landing) = &attempt.landing else {
        return facts;
    };
    if let Some(ended) = &landing.acceptance.ended {
        fact("last turn", format!("turn {}: {ended}", ended.turn));
    }
    if let Some(completion) = &landing.acceptance.completion {
        fact("complete", completion.to_string());
    }
    let record = landing.acceptance.hash();
    fact(
        "record",
        format!("sha256:{record}, under contract {}", attempt.contract_hash),
    );
    let acceptance = &landing.acceptance;
    let gates = acceptance.gates.iter().map(|report| {
        let flaky = if report.is_flaky() {
            format!(
                " (FLAKY: {} red before, on the same tree)",
                report.before.len()
            )
        } else {
            String::new()
        };
        format!(
            "`{}` green in {}{flaky}",
            report.gate.name,
            roughly(report.took)
        )
    });
    let gates: Vec<_> = gates.collect();
    let tree = landing.acceptance.tree.short();
    fact(
        "gates",
        if gates.is_empty() {
            "none".to_owned()
        } else {
            format!("{}, on tree {tree}", gates.join(", "))
        },
    );
    // Who says the same stands together.
    let mut reviews: Vec<(String, Vec<&str>)> = Vec::new();
    for review in &acceptance.reviews {
        // An agent's word is an opinion, whatever it says.
        let said = said(review) + &review.standing();
        match reviews.iter_mut().find(|(known, _)| *known == said) {
            Some((_, names)) => names.push(&review.reviewer),
            None => reviews.push((said, vec![&review.reviewer])),
        }
    }
    let reviews: Vec<_> = reviews
        .iter()
        .map(|(said, names)| format!("{said} by {}", names.join(", ")))
        .collect();
    fact(
        "reviews",
        format!(
            "of commit {}: {}",
            landing.acceptance.head.short(),
            reviews.join("; ")
        ),
    );
    for finding in attempt.noticed.iter().take(MANY) {
        fact("noticed", finding.to_string());
    }
    for artifact in &acceptance.artifacts {
        fact(
            "artifact",
            format!(
                "{}, {} bytes, sha256:{}",
                artifact.name, artifact.size, artifact.hash
            ),
        );
    }
    for approval in &acceptance.approvals {
        fact("approved", approval.to_string());
    }
    for waiver in &acceptance.waivers {
        let (by, why) = (
            waiver.decision.name(),
            waiver
                .decision
                .note
                .as_deref()
                .unwrap_or("no reason was given"),
        );
        fact(
            "waived",
            format!(
                "{} ({}) by {by}: {why} ({})",
                waiver.item.what(),
                waiver.item,
                waiver.decision.hold
            ),
        );
    }
    for risk in &acceptance.residual_risks {
        fact("risk, says the worker", risk.clone());
    }
    facts
}

fn evidence(attempt: &AttemptStory) -> Vec<String> {
    attempt.evidence().iter().map(claim).collect()
}

fn claim(evidence: &EvidenceView) -> String {
    format!(
        "{}: `{}` on `{}`: {}",
        evidence.label.as_str().to_uppercase(),
        evidence.claim,
        evidence.surface,
        evidence.reason
    )
}

fn waiting(report: &Report, page: &mut Vec<Block>) {
    page.push(Block::Section("Waiting for you"));
    let held: Vec<_> = report
        .snapshot
        .tasks
        .iter()
        .filter_map(|task| Some((task, task.hold.as_ref()?)))
        .collect();
    if held.is_empty() {
        page.push(Block::Paragraph("Nothing.".to_owned()));
    }
    for (task, hold) in held {
        page.push(Block::Entry(format!(
            "{}, about {}: {}",
            hold.id, task.id, task.title
        )));
        page.push(Block::Paragraph(format!(
            "{} Since {}.",
            ended(&hold.question),
            time(Timestamp(hold.since))
        )));
        page.extend(brief(hold));
    }
}

fn brief(hold: &HoldView) -> Vec<Block> {
    let brief = &hold.brief;
    let list = |title: &str, items: &[String]| {
        let items: Vec<_> = items.iter().take(MANY).cloned().collect();
        if items.is_empty() {
            Vec::new()
        } else {
            vec![Block::Paragraph(format!("{title}:")), Block::List(items)]
        }
    };
    let mut blocks = vec![Block::Paragraph(format!("Why now: {}.", brief.why_now))];
    blocks.extend(list("The last turn", &brief.last_turn));
    blocks.extend(list("Change", &brief.change));
    blocks.extend(list("Observed", &brief.evidence));
    blocks.extend(list("Missing", &brief.missing));
    let options: Vec<_> = brief
        .options
        .iter()
        .map(|choice| format!("`answer {} {}`: {}", hold.id, choice.option, choice.then))
        .collect();
    blocks.extend(list("You may answer", &options));
    blocks.push(Block::Paragraph(format!(
        "We would: {}. The work: {}.",
        brief.recommendation, brief.work
    )));
    blocks
}

fn wrong(report: &Report, page: &mut Vec<Block>) {
    page.push(Block::Section("What went wrong, and where it lies"));
    let mut failed: Vec<_> = attempts(report)
        .filter_map(|(task, attempt)| Some((task, attempt, failure(attempt)?)))
        .collect();
    failed.sort_by_key(|(_, attempt, _)| attempt.ended);
    let parked: Vec<_> = report
        .snapshot
        .tasks
        .iter()
        .filter(|task| task.state == TaskState::Parked)
        .collect();
    if failed.is_empty() && parked.is_empty() {
        page.push(Block::Paragraph("Nothing.".to_owned()));
    }
    for (task, attempt, (word, reason)) in failed {
        let view = report.snapshot.tasks.iter().find(|view| view.id == task.id);
        page.push(Block::Entry(format!("{}: {word}", attempt.id)));
        page.push(Block::Printed(reason.to_owned()));
        page.push(Block::List(remains(attempt, view)));
    }
    let given_up = parked.iter().map(|task| {
        format!(
            "{} was given up: {}",
            task.id,
            task.reason.as_deref().unwrap_or("no reason")
        )
    });
    page.push(Block::List(given_up.collect()));
}

fn failure(attempt: &AttemptStory) -> Option<(&'static str, &str)> {
    match &attempt.end {
        AttemptEnd::Rejected { reason } => Some(("rejected", reason)),
        AttemptEnd::Blocked { reason } => Some(("its worker gave it back", reason)),
        AttemptEnd::Abandoned { reason } => Some(("came to nothing", reason)),
        AttemptEnd::UnderWay | AttemptEnd::Accepted { .. } => None,
    }
}

/// What is left of an attempt that did not land.
fn remains(attempt: &AttemptStory, view: Option<&TaskView>) -> Vec<String> {
    let found = attempt
        .findings
        .iter()
        .map(|finding| format!("finding {}: {finding}", finding.id()));
    let silent = attempt
        .reviews
        .iter()
        .filter_map(|review| match &review.opinion {
            Opinion::Unavailable { reason } => {
                Some(format!("{} could not look: {reason}", review.reviewer))
            }
            Opinion::Looked { .. } => None,
        });
    let noticed = attempt
        .noticed
        .iter()
        .map(|finding| format!("noticed: {finding}"));
    let work = view.and_then(|view| view.kept.get(&attempt.id.number));
    let work = work.map(|place| format!("its work is kept: {place}"));
    let streams = attempt
        .kept
        .iter()
        .filter(|kept| kept.size > 0)
        .map(|kept| format!("{}: {} bytes, sha256:{}", kept.name, kept.size, kept.hash));
    let used = costs::lines(&attempt.used);
    let used = used.into_iter().map(|line| format!("used by {line}"));
    let reviewed_by = attempt
        .reviews
        .iter()
        .filter(|review| review.by_agent.is_some())
        .map(|review| format!("reviewed by {}{}", review.reviewer, review.standing()));
    let nudges = attempt
        .nudges
        .iter()
        .map(|nudge| format!("silent: {}, {}", time(nudge.at), nudge.in_words()));
    let went_on = attempt
        .continued
        .iter()
        .map(|ended| format!("went on after turn {}: {ended}", ended.turn));
    used.chain(found)
        .chain(silent)
        .chain(reviewed_by)
        .chain(went_on)
        .chain(nudges)
        .chain(noticed)
        .chain(work)
        .chain(streams)
        .take(MANY)
        .collect()
}

fn attempts(report: &Report) -> impl Iterator<Item = (&TaskStory, &AttemptStory)> {
    report
        .tasks
        .iter()
        .flat_map(|task| task.attempts.iter().map(move |attempt| (task, attempt)))
}

/// What reviewers said, in short.
fn said(review: &Review) -> String {
    match &review.opinion {
        Opinion::Unavailable { reason } => format!("could not look: {reason}"),
        Opinion::Looked { findings } if findings.is_empty() => "nothing found".to_owned(),
        Opinion::Looked { findings } => {
            let count = |severity| {
                findings
                    .iter()
                    .filter(|finding| finding.severity == severity)
                    .count()
            };
            let counts = [
                (Severity::Error, "error"),
                (Severity::Warning, "warning"),
                (Severity::Note, "note"),
            ];
            let counts = counts.map(|(severity, name)| (count(severity), name));
            let words: Vec<_> = counts
                .iter()
                .filter(|(count, _)| *count > 0)
                .map(|(count, name)| format!("{count} {name}"))
                .collect();
            words.join(", ")
        }
    }
}

/// With a full stop, unless it ends otherwise.
fn ended(text: &str) -> String {
    let text = text.trim_end();
    if text.ends_with(['.', '?', '!']) {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

/// As people say it.
pub(super) fn roughly(span: Span) -> String {
    span.in_words()
}

pub(super) fn time(at: Timestamp) -> String {
    formatted(at, "%H:%M:%S")
}

fn day_and_time(at: Timestamp) -> String {
    formatted(at, "%Y-%m-%d %H:%M:%S")
}

pub(super) fn formatted(at: Timestamp, format: &str) -> String {
    let millis = i64::try_from(at.0)
        .ok()
        .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok());
    millis.map_or_else(
        || format!("{} ms", at.0),
        |time| time.strftime(format).to_string(),
    )
}
