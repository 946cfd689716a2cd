//! A person in code: each question of a run is answered by a rule of yours, with a reason that is kept for ever.
//!
//! ```text
//! cargo run --example approvals
//! ```
//!
//! Three tasks on a repository made for the purpose. One wants approval before its agent starts and before it lands, one claims
//! what only a device can show, and one gives up and asks; the rule below reads the decision brief of each question and says
//! what it would like to happen.

use std::error::Error;

use orchestrator_core::{
    driver::{Handle, Notice, Orchestrator},
    model::{Answer, Approval, HoldOption, HoldReason, Policy, Record, RepoPath},
    status::{Brief, table},
};
use orchestrator_testkit::{Sandbox, shell_worker};

const ROADMAP: &str = r#"
- [ ] **A** Change the prices
  ```toml
  allow = ["prices.csv"]
  approve = ["dispatch", "landing"]
  ```
- [ ] **B** Print in colour
  ```toml
  allow = ["printer.conf"]
  claims = [{ id = "colour", text = "receipts come out in colour", surface = "device:printer" }]
  ```
- [ ] **C** Greet the customer
  ```toml
  allow = ["greeting.txt"]
  ```
"#;

const WORKER: &str = r#"
    prompt=$(cat)
    case $ORCHESTRATOR_TASK.$ORCHESTRATOR_ATTEMPT in
        A.*) echo apples,120 > prices.csv ;;
        B.*) echo colour=yes > printer.conf ;;
        C.1) handoff blocked ',"reason":"in which language?"'; exit ;;
        C.*) case $prompt in *French*) echo Bienvenue > greeting.txt ;; esac ;;
    esac
    commit "$ORCHESTRATOR_TASK"; handoff done
"#;

/// The rule: what a hold is about, and all that can be known of it, become an answer and a reason.
fn decide(about: &HoldReason, brief: &Brief) -> (HoldOption, &'static str) {
    match about {
        HoldReason::Approval(Approval::Dispatch) => {
            (HoldOption::Approve, "prices may change on a weekday")
        }
        HoldReason::Approval(Approval::Landing) if brief.missing.is_empty() => {
            (HoldOption::Approve, "nothing is missing")
        }
        HoldReason::Unproven => (HoldOption::Park, "nobody is near the printer today"),
        HoldReason::Blocked { .. } => (HoldOption::Retry, "in French, please"),
        _ => (HoldOption::Park, "not foreseen"),
    }
}

async fn answer_everything(handle: Handle) {
    let mut notices = handle.subscribe();
    while let Ok(notice) = notices.recv().await {
        let Notice::Recorded(entry) = notice else {
            continue;
        };
        let Record::HoldOpened { hold } = &entry.record else {
            continue;
        };
        let Some(snapshot) = handle.snapshot().await else {
            return;
        };
        let asked = snapshot
            .tasks
            .iter()
            .filter_map(|task| task.hold.as_ref())
            .find(|view| view.id == hold.id);
        // It may have ended by itself meanwhile.
        let Some(view) = asked else { continue };
        let (option, why) = decide(&hold.about, &view.brief);
        println!(
            "{} about {}: {}\n{}-> {option}: {why}\n",
            hold.id,
            hold.task,
            hold.question(),
            view.brief
        );
        handle
            .answer(Answer::new(hold.id, option).with_note(why))
            .await;
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sandbox = Sandbox::new();
    sandbox.publish(&[("ROADMAP.md", ROADMAP)], "a roadmap");
    let worker = shell_worker(sandbox.path(), "worker", WORKER);
    let policy =
        format!("push = \"origin\"\n[agents.worker]\nkind = \"command\"\nrun = {worker:?}\n");

    let orchestrator = Orchestrator::builder()
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .policy(Policy::parse(&policy)?)
        .roadmap("ROADMAP.md".parse::<RepoPath>()?)
        // Questions are answered while it runs, so it does not end because of one.
        .wait(true)
        .build()
        .await?;

    let person = tokio::spawn(answer_everything(orchestrator.handle()));
    let report = orchestrator.run().await?;
    person.abort();
    println!(
        "The run ended: {}.\n\n{}",
        report.ended,
        table(&report.snapshot)
    );
    Ok(())
}
