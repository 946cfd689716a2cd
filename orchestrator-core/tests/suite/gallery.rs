//! A gallery of dishonest and careless handoffs, with a few honest ones among them.
//!
//! Each directory of `tests/gallery` is a case: `task.toml` (the contract's keys, with a word on what it shows), `base.sh` (what is
//! in the repository before, if anything), `work.sh` (what its worker does in the workspace), and `handoff.json` (what it
//! leaves, if anything). In them `@HEAD@` is the worker's head, `@TIP@` the target's tip by then, and `$OUT` the directory of the
//! handoff. The loop runs with one turn and one attempt, and what was found and what became of it stands beside, as
//! `expected.snap`: a change there is a change that is read.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use orchestrator_core::{
    Orchestrator, Policy,
    model::{Findings, Opinion, Record, Verdict},
    status::TaskState,
};
use orchestrator_testkit::{RunOutcome, Sandbox, git, run_checked, shell_worker};

use crate::common::{self, pushes, roadmap};

/// How many run at once.
const AT_ONCE: usize = 4;

fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gallery");
    let mut cases: Vec<_> = std::fs::read_dir(root)
        .expect("is there")
        .flatten()
        .map(|entry| entry.path())
        .collect();
    cases.sort();
    cases
}

async fn run(case: &Path) -> (Sandbox, RunOutcome) {
    let read = |name: &str| std::fs::read_to_string(case.join(name)).ok();
    let sandbox = Sandbox::new();
    sandbox.publish(
        &[(
            "ROADMAP.md",
            &roadmap(&[("A", &read("task.toml").expect("each case has one"))]),
        )],
        "roadmap",
    );
    if let Some(base) = read("base.sh") {
        common::shell(&sandbox.repo(), &base);
        git(&sandbox.repo(), &["add", "--all"]);
        git(&sandbox.repo(), &["commit", "--quiet", "--message", "base"]);
        git(&sandbox.repo(), &["push", "--quiet", "origin", "HEAD:main"]);
    }
    let mut script = read("work.sh").expect("each case has one");
    if script.contains("@TIP@") {
        // Somebody else's work, which its worker fetches by itself.
        let remote = sandbox.remote().to_string_lossy().into_owned();
        let fetch = format!("git fetch -q '{remote}' main; git merge -q --no-edit FETCH_HEAD");
        script = format!(
            "{}\n{}",
            pushes(&sandbox, "theirs.txt", "theirs"),
            script.replace("git merge -q --no-edit @TIP@", &fetch)
        );
    }
    let mut worker = format!(
        "OUT=$(dirname \"$ORCHESTRATOR_HANDOFF\"); export OUT\n[ $ORCHESTRATOR_TURN != 1 ] || (\n{script}\n)\n"
    );
    if case.join("handoff.json").exists() {
        let handoff = case.join("handoff.json");
        let _ = write!(
            worker,
            "sed \"s/@HEAD@/$(git rev-parse HEAD)/\" '{}' > \"$ORCHESTRATOR_HANDOFF\"",
            handoff.display()
        );
    }
    let worker = shell_worker(sandbox.path(), "worker", &worker);
    let policy = format!(
        "push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n[limits]\nattempts = 1\nturns = 1\n\
         heartbeat = \"1h\"\n[gates.unit]\nrun = [\"sh\", \"-c\", \"! test -e src/red\"]\ndefault = true\n"
    );
    let outcome = run_checked(
        &sandbox,
        Orchestrator::builder().policy(Policy::parse(&policy).expect("a valid policy")),
    )
    .await;
    (sandbox, outcome)
}

/// What was found, by whom and how bad; then what followed.
fn told(case: &Path, sandbox: &Sandbox, outcome: &RunOutcome) -> String {
    let mut text = String::new();
    for record in outcome.records() {
        match record {
            Record::Submitted { submission, .. } => {
                for finding in &submission.findings {
                    let _ = writeln!(text, "git: {:?} {finding}", finding.severity);
                }
            }
            Record::CarriedOver { submission, .. } => {
                for finding in &submission.findings {
                    let _ = writeln!(text, "committed once: {:?} {finding}", finding.severity);
                }
            }
            Record::Reviewed { reviews, .. } => {
                for review in reviews {
                    if let Opinion::Unavailable { reason } = &review.opinion {
                        panic!(
                            "{}: {} could not look: {reason}",
                            case.display(),
                            review.reviewer
                        );
                    }
                    for finding in review.findings() {
                        let _ = writeln!(
                            text,
                            "{}: {:?} {finding}",
                            review.reviewer, finding.severity
                        );
                    }
                }
            }
            Record::Judged {
                verdict: Verdict::Reject { findings },
                ..
            } => drop(writeln!(text, "rejected: {}", Findings::of(findings))),
            Record::Accepted { landing } => {
                for risk in &landing.acceptance.residual_risks {
                    let _ = writeln!(text, "risk: {risk}");
                }
            }
            _ => {}
        }
    }
    let task = outcome.task("A");
    for evidence in &task.evidence {
        let _ = writeln!(
            text,
            "claim {}: {}: {}",
            evidence.claim, evidence.label, evidence.reason
        );
    }
    let reason = task
        .reason
        .as_deref()
        .filter(|_| task.state != TaskState::Landed)
        .unwrap_or_default();
    let _ = writeln!(
        text,
        "=> {}{}{reason}",
        task.state,
        if reason.is_empty() { "" } else { ": " }
    );
    // Ids are new in each run, and so is the place.
    let text = text.replace(&*sandbox.path().to_string_lossy(), "<sandbox>");
    let hex = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = text
        .split_inclusive(|c: char| !c.is_ascii_alphanumeric())
        .map(|word| {
            let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
            if hex(bare) {
                word.replacen(bare, "<id>", 1)
            } else {
                word.to_owned()
            }
        });
    words.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_is_seen_for_what_it_is() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut running = tokio::task::JoinSet::new();
    let mut waiting = cases.into_iter();
    let mut landed = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some(case) = waiting.next()
        {
            running.spawn(async move {
                let (sandbox, outcome) = run(&case).await;
                // Nothing that only the history of the branch had is in the target's.
                let log = git(&sandbox.remote(), &["log", "-m", "-p", "main"]);
                assert!(
                    !log.contains("other.txt") && !log.contains("ghp_"),
                    "{}: {log}",
                    case.display()
                );
                (
                    told(&case, &sandbox, &outcome),
                    outcome.task("A").state == TaskState::Landed,
                    case,
                )
            });
        }
        let Some(done) = running.join_next().await else {
            break;
        };
        let (text, has_landed, case) = done.expect("it runs");
        if has_landed {
            landed.push(
                case.file_name()
                    .expect("a name")
                    .to_string_lossy()
                    .into_owned(),
            );
        }
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&case);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!("expected", text));
    }
    // What gets through, as one list.
    landed.sort();
    insta::assert_snapshot!("what_lands", landed.join("\n"));
}
