//! What a policy may say of this kind of agent.

use backend_acp::{AcpBackend, AcpSettings};
use orchestrator_core::{Policy, agent::AgentKinds};
use schemars::schema_for;

/// What is said of a policy with an agent of this table.
fn said(table: &str) -> String {
    let kinds = AgentKinds::new().register("acp", AcpBackend::from_settings);
    let kinds = kinds.expect("no other has this name");
    let text = format!("[agents.a]\nkind = \"acp\"\n{table}");
    let policy = Policy::parse(&text).expect("parses without its kind");
    match kinds.check(&policy) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_that_are_wrong_are_refused_with_line_and_key() {
    assert_eq!(said("run = [\"opencode\", \"acp\"]"), "");
    let cases = [
        (
            "run = []",
            "line 3: `agents.a.run`: needs a program, as in `run = [\"opencode\", \"acp\"]`",
        ),
        (
            "run = [\"x\"]\nmodes = \"build\"",
            "line 4: `agents.a.modes`: unknown field `modes`, expected one of `env`, \
             `failover`, `kind`, `mode`, `run`",
        ),
        (
            "mode = \"build\"",
            "line 1: `agents.a`: missing field `run`",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(said(table), expected);
    }
}

#[test]
fn settings_have_this_schema() {
    let schema = schema_for!(AcpSettings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).expect("serialises"));
}
