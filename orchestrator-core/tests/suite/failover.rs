//! A real run in which one agent fails and another takes over, and the words that say so.

use orchestrator_core::{
    BuildError, Policy,
    driver::Orchestrator,
    model::{EndReason, Failover, Record, RepoPath, Trouble},
    status::Report,
};
use orchestrator_testkit::{Sandbox, run_checked, shell_worker};

use crate::common::{WORK, sandbox};

/// Two commands: `first` ends with status 7, and leaves nothing; `second` works.
fn policy(sandbox: &Sandbox, list: &str) -> Policy {
    let first = shell_worker(sandbox.path(), "first", "exit 7");
    let second = shell_worker(sandbox.path(), "second", WORK);
    let text = format!(
        "push = \"origin\"\nmax_sessions = 3\ndefault_agent = \"first\"\n\
         [limits]\nbackoff = \"1ms\"\n[gates.unit]\nrun = [\"true\"]\ndefault = true\n\
         [agents.first]\nkind = \"command\"\nrun = {first:?}\nfailover = [{list}]\n\
         [agents.second]\nkind = \"command\"\nrun = {second:?}\n"
    );
    Policy::parse(&text).expect("a policy")
}

#[tokio::test]
async fn failover_of_an_agent_that_fails_lands_all_tasks_and_is_in_every_record() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", ""), ("D", "")]);
    let builder = Orchestrator::builder().policy(policy(&sandbox, "\"second\""));
    let outcome = run_checked(&sandbox, builder).await;
    assert_eq!(
        outcome.report.ended,
        EndReason::Complete,
        "{:#?}",
        outcome.report.snapshot
    );
    let accepted: Vec<_> = outcome
        .records()
        .filter_map(|record| match record {
            Record::Accepted { landing } => Some(landing.acceptance.failover.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(accepted.len(), 4);
    for failover in accepted {
        let Some(Failover { from, trouble, .. }) = failover else {
            panic!("`second` works in place of `first`");
        };
        assert_eq!(from.as_str(), "first");
        assert!(matches!(trouble, Trouble::Failing { .. }), "{trouble:?}");
    }
    let entries = outcome.entries.iter();
    let report = Report::of(entries.map(|entry| (entry.at, &entry.record)), None);
    let report = report.expect("the ledger fits").to_markdown();
    let said = "in place of `first`: it fails on every task: exit status 7";
    assert!(report.matches(said).count() >= 4, "{report}");
}

#[tokio::test]
async fn failover_is_not_without_a_list() {
    let sandbox = sandbox(&[("A", ""), ("B", ""), ("C", "")]);
    let builder = Orchestrator::builder().policy(policy(&sandbox, ""));
    let outcome = run_checked(&sandbox, builder).await;
    assert_eq!(outcome.report.ended, EndReason::WaitingForAPerson);
    let used_other = |record: &Record| matches!(record, Record::Dispatched { contract, .. } if contract.agent.as_str() == "second");
    assert!(!outcome.records().any(used_other));
}

#[tokio::test]
async fn agent_that_may_take_over_and_is_not_there_is_named_before_the_start() {
    let sandbox = sandbox(&[("A", "")]);
    let mut policy = policy(&sandbox, "\"second\"");
    let text = "[agents.second]\nkind = \"command\"\nrun = [\"/nowhere/agent\"]\n";
    let gone = Policy::parse(text).expect("a policy").agents;
    policy.agents.extend(gone);
    let builder = Orchestrator::builder()
        .policy(policy)
        .repository(sandbox.repo())
        .state_dir(sandbox.state())
        .roadmap("ROADMAP.md".parse::<RepoPath>().expect("a path"));
    let error = builder.build().await.expect_err("it does not begin");
    let BuildError::Agent { name, .. } = &error else {
        panic!("{error:?}")
    };
    assert_eq!(name.as_str(), "second");
}
