//! What a policy may say of this kind of agent.

use backend_cursor::{CursorBackend, CursorSettings};
use orchestrator_core::{Policy, agent::AgentKinds};
use schemars::schema_for;

/// What is said of a policy with an agent of this table.
fn said(table: &str) -> String {
    let kinds = AgentKinds::new().register("cursor", CursorBackend::from_settings);
    let kinds = kinds.expect("no other has this name");
    let text = format!("[agents.a]\nkind = \"cursor\"\n{table}");
    let policy = Policy::parse(&text).expect("parses without its kind");
    match kinds.check(&policy) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_that_are_wrong_are_refused_with_line_and_key() {
    assert_eq!(said("sandbox = true\nconfig_dir = \"/x\""), "");
    let cases = [
        (
            "sandbox = \"on\"",
            "line 3: `agents.a.sandbox`: invalid type: string \"on\", expected a boolean",
        ),
        (
            "settings = {}",
            "line 3: `agents.a.settings`: unknown field `settings`, expected one of \
             `config_dir`, `env`, `failover`, `kind`, `model`, `program`, `sandbox`",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(said(table), expected);
    }
}

#[test]
fn settings_have_this_schema() {
    let schema = schema_for!(CursorSettings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).expect("serialises"));
}
