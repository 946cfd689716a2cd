//! What a policy may say of this kind of agent.

use backend_codex::{CodexBackend, CodexSettings};
use orchestrator_core::{Policy, agent::AgentKinds};
use schemars::schema_for;

/// What is said of a policy with an agent of this table.
fn said(table: &str) -> String {
    let kinds = AgentKinds::new().register("codex", CodexBackend::from_settings);
    let kinds = kinds.expect("no other has this name");
    let text = format!("[agents.a]\nkind = \"codex\"\n{table}");
    let policy = Policy::parse(&text).expect("parses without its kind");
    match kinds.check(&policy) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_that_are_wrong_are_refused_with_line_and_key() {
    assert_eq!(said("protocol = \"app-server\"\nsandbox = \"off\""), "");
    let cases = [
        (
            "modle = \"x\"",
            "line 3: `agents.a.modle`: unknown field `modle`, expected one of `config`, `env`, \
             `failover`, `kind`, `model`, `program`, `protocol`, `sandbox`",
        ),
        (
            "\nsandbox = \"none\"",
            "line 4: `agents.a.sandbox`: unknown variant `none`, expected one of `profile`, \
             `narrow`, `off`",
        ),
        (
            "done = \"exit\"",
            "line 3: `agents.a.done`: unknown field `done`, expected one of `config`, `env`, \
             `failover`, `kind`, `model`, `program`, `protocol`, `sandbox`",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(said(table), expected);
    }
}

#[test]
fn settings_have_this_schema() {
    let schema = schema_for!(CodexSettings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).expect("serialises"));
}
