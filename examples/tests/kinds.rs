//! The kinds of agent that `supervise` has.

use serde_json::{Value, json};

#[test]
fn schema_of_policies_has_every_kind() {
    let kinds = examples::agent_kinds().expect("no two have the same name");
    let policy = kinds.policy_schema().to_value();
    let tables = policy["$defs"]["AgentSpec"]["oneOf"].as_array();
    let tables = tables.expect("one for each kind");
    let names: Vec<_> = tables
        .iter()
        .map(|table| &table["properties"]["kind"]["const"])
        .collect();
    assert_eq!(names, ["acp", "claude", "codex", "command", "cursor"]);
    for table in tables {
        assert_eq!(table["additionalProperties"], json!(false), "{table}");
        assert_eq!(table["required"][0], "kind", "{table}");
        assert!(table["properties"]["failover"].is_object(), "{table}");
    }
    // What a kind's settings refer to is in the same document.
    for part in ["CodexSandbox", "ClaudeEffort", "DoneBy", "BackendName"] {
        assert_ne!(policy["$defs"][part], Value::Null, "{part}");
    }
}
