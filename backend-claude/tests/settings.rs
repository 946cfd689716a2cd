//! What a policy may say of this kind of agent.

use backend_claude::{ClaudeBackend, ClaudeSettings};
use orchestrator_core::{Policy, agent::AgentKinds};
use schemars::schema_for;

/// What is said of a policy with an agent of this table.
fn said(table: &str) -> String {
    let kinds = AgentKinds::new().register("claude", ClaudeBackend::from_settings);
    let kinds = kinds.expect("no other has this name");
    let text = format!("[agents.a]\nkind = \"claude\"\n{table}");
    let policy = Policy::parse(&text).expect("parses without its kind");
    match kinds.check(&policy) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_that_are_wrong_are_refused_with_line_and_key() {
    assert_eq!(
        said("model = \"m\"\nmax_usd = 2\nmcp_servers.docs.command = \"x\""),
        ""
    );
    let cases = [
        (
            "max_usd = nan",
            "line 3: `agents.a.max_usd`: must be a number greater than zero",
        ),
        (
            "model = \"m\"\nfallback_model = \"m\"",
            "line 4: `agents.a.fallback_model`: must be another model than `model`",
        ),
        (
            "[agents.a.mcp_servers.docs]\nurl = \"\"",
            "line 3: `agents.a.mcp_servers.docs`: a server has either a `command` or a `url`",
        ),
        (
            "effort = \"all\"",
            "line 3: `agents.a.effort`: unknown variant `all`, expected one of `low`, `medium`, \
             `high`, `xhigh`, `max`",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(said(table), expected);
    }
}

#[test]
fn settings_have_this_schema() {
    let schema = schema_for!(ClaudeSettings);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).expect("serialises"));
}
