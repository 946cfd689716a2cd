//! The parts of `app-server`'s own schema that are read or written here, as its generator writes them.
//!
//! `VERSION.json` has them for each version that is known. To take over those of another version: `ORCHESTRATOR_WRITE_SCHEMA=1`, and this test.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use orchestrator_testkit::RealAgent;
use serde_json::{Map, Value, json};

/// Types, with the members that are read or written; none stands for the whole type.
const TYPES: &[(&str, &[&str])] = &[
    ("InitializeParams", &["clientInfo"]),
    ("ClientInfo", &["name", "title", "version"]),
    (
        "ThreadStartParams",
        &["approvalPolicy", "config", "model", "sandbox"],
    ),
    (
        "ThreadResumeParams",
        &[
            "approvalPolicy",
            "config",
            "excludeTurns",
            "model",
            "sandbox",
            "threadId",
        ],
    ),
    (
        "ThreadStartResponse",
        &["activePermissionProfile", "cwd", "sandbox", "thread"],
    ),
    (
        "ThreadResumeResponse",
        &["activePermissionProfile", "cwd", "sandbox", "thread"],
    ),
    ("ActivePermissionProfile", &["id"]),
    ("Thread", &["id"]),
    ("SandboxMode", &[]),
    ("TurnStartParams", &["input", "outputSchema", "threadId"]),
    ("TurnStartResponse", &["turn"]),
    ("TurnSteerParams", &["expectedTurnId", "input", "threadId"]),
    ("TurnInterruptParams", &["threadId", "turnId"]),
    ("Turn", &["error", "id", "status"]),
    ("TurnStatus", &[]),
    ("TurnError", &["codexErrorInfo", "message"]),
    ("CodexErrorInfo", &[]),
    ("TurnStartedNotification", &["threadId", "turn"]),
    ("TurnCompletedNotification", &["threadId", "turn"]),
    ("ItemStartedNotification", &["item", "threadId", "turnId"]),
    ("ItemCompletedNotification", &["item", "threadId", "turnId"]),
    ("FileUpdateChange", &["path"]),
    (
        "CommandExecutionOutputDeltaNotification",
        &["delta", "itemId", "threadId"],
    ),
    (
        "ThreadTokenUsageUpdatedNotification",
        &["threadId", "tokenUsage", "turnId"],
    ),
    ("ThreadTokenUsage", &["last", "total"]),
    ("TokenUsageBreakdown", &["inputTokens", "outputTokens"]),
    ("AccountRateLimitsUpdatedNotification", &["rateLimits"]),
    ("RateLimitSnapshot", &["primary", "secondary"]),
    ("RateLimitWindow", &["resetsAt", "usedPercent"]),
    ("ErrorNotification", &["error", "threadId", "willRetry"]),
    ("ConfigWarningNotification", &["summary"]),
    ("WarningNotification", &["message"]),
    ("DeprecationNoticeNotification", &["summary"]),
    (
        "CommandExecutionRequestApprovalParams",
        &["command", "reason"],
    ),
    ("CommandExecutionRequestApprovalResponse", &["decision"]),
    ("FileChangeRequestApprovalParams", &["reason"]),
    ("FileChangeRequestApprovalResponse", &["decision"]),
    ("FileChangeApprovalDecision", &[]),
    ("PermissionsRequestApprovalParams", &["reason"]),
    ("PermissionsRequestApprovalResponse", &["permissions"]),
    ("McpServerElicitationRequestResponse", &["action"]),
    ("ToolRequestUserInputParams", &["questions"]),
    ("ToolRequestUserInputQuestion", &["question"]),
];

/// Types that are one of several, by the string that says which; with the members of each that are read or written.
const CHOICES: &[(&str, &[&str])] = &[
    (
        "ThreadItem",
        &["changes", "command", "id", "query", "text", "tool", "type"],
    ),
    ("SandboxPolicy", &["networkAccess", "type"]),
    ("UserInput", &["text", "type"]),
    ("CommandExecutionApprovalDecision", &[]),
    ("McpServerElicitationAction", &[]),
];

/// Methods: those that are asked for or read; of what the server asks, all.
const METHODS: &[(&str, &[&str])] = &[
    (
        "ClientRequest",
        &[
            "initialize",
            "thread/resume",
            "thread/start",
            "turn/interrupt",
            "turn/start",
            "turn/steer",
        ],
    ),
    ("ClientNotification", &["initialized"]),
    (
        "ServerNotification",
        &[
            "account/rateLimits/updated",
            "configWarning",
            "deprecationNotice",
            "error",
            "item/commandExecution/outputDelta",
            "item/completed",
            "item/started",
            "thread/tokenUsage/updated",
            "turn/completed",
            "turn/started",
            "warning",
        ],
    ),
    ("ServerRequest", &[]),
];

/// Generates the schema anew, and compares these parts with those that are kept.
pub(crate) fn schema_is_the_one_that_is_kept(agent: &RealAgent) {
    let directory = tempfile::tempdir().expect("a directory");
    let version = said(agent, directory.path(), &["--version"]);
    let version = version.trim().trim_start_matches("codex-cli ").to_owned();
    let place = directory.path().to_string_lossy();
    let generate = [
        "app-server",
        "generate-json-schema",
        "--experimental",
        "--out",
        &place,
    ];
    said(agent, directory.path(), &generate);
    let whole = directory
        .path()
        .join("codex_app_server_protocol.schemas.json");
    let whole = fs::read(whole).expect("was written");
    let whole: Value = serde_json::from_slice(&whole).expect("is JSON");
    let now = parts(&whole);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/schema")
        .join(format!("{version}.json"));
    if std::env::var_os("ORCHESTRATOR_WRITE_SCHEMA").is_some() {
        let text = serde_json::to_string_pretty(&now).expect("is JSON");
        fs::write(&kept, text + "\n").expect("writes");
    }
    let kept = fs::read(&kept).unwrap_or_else(|_| panic!("{version} is not known: {kept:?}"));
    let kept: BTreeMap<String, Value> = serde_json::from_slice(&kept).expect("is JSON");
    let names: Vec<_> = kept.keys().chain(now.keys()).collect();
    let drifted: Vec<_> = names
        .into_iter()
        .filter(|name| kept.get(*name) != now.get(*name))
        .collect();
    assert!(drifted.is_empty(), "{version}: {drifted:?}");
}

/// What the program prints.
fn said(agent: &RealAgent, home: &Path, arguments: &[&str]) -> String {
    let output = Command::new(&agent.program)
        .args(arguments)
        .env("HOME", home)
        .env("CODEX_HOME", home)
        .output()
        .expect("it runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// By name, all that this crate relies on.
fn parts(whole: &Value) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::new();
    for (name, members) in TYPES {
        let definition = defined(whole, name);
        for member in *members {
            let there = definition["properties"].get(member).is_some();
            assert!(there, "{name} has no `{member}`");
        }
        let part = if members.is_empty() {
            plain(definition)
        } else {
            narrowed(definition, members)
        };
        parts.insert((*name).to_owned(), part);
    }
    for (name, members) in CHOICES {
        let choices = defined(whole, name);
        let ways = choices["oneOf"].as_array();
        let part = match ways {
            Some(ways) if !members.is_empty() => {
                ways.iter().map(|way| narrowed(way, members)).collect()
            }
            _ => plain(choices),
        };
        parts.insert((*name).to_owned(), part);
    }
    for (name, methods) in METHODS {
        parts.insert(
            (*name).to_owned(),
            of_methods(defined(whole, name), methods),
        );
    }
    parts
}

/// A type by its name; most are in a namespace of their own.
fn defined<'v>(whole: &'v Value, name: &str) -> &'v Value {
    let found = [
        &whole["definitions"]["v2"][name],
        &whole["definitions"][name],
    ]
    .into_iter()
    .find(|found| !found.is_null());
    found.unwrap_or_else(|| panic!("there is no type {name}"))
}

/// An object's type with these members alone; all that it requires is kept.
fn narrowed(definition: &Value, members: &[&str]) -> Value {
    let properties: Map<String, Value> = members
        .iter()
        .filter_map(|member| Some((member, definition["properties"].get(member)?)))
        .map(|(member, kind)| ((*member).to_owned(), plain(kind)))
        .collect();
    json!({ "properties": properties, "required": plain(&definition["required"]) })
}

/// The parameters of each method, by its name.
fn of_methods(definition: &Value, wanted: &[&str]) -> Value {
    let all = definition["oneOf"].as_array().expect("is one of several");
    all.iter()
        .filter_map(|way| {
            let name = way["properties"]["method"]["enum"][0].as_str()?;
            let params = plain(&way["properties"]["params"]);
            (wanted.is_empty() || wanted.contains(&name)).then(|| (name.to_owned(), params))
        })
        .collect()
}

/// Without what is there for people.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "description" | "title" | "default"))
            .map(|(name, value)| (name.clone(), plain(value)))
            .collect(),
        Value::Array(values) => values.iter().map(plain).collect(),
        value => value.clone(),
    }
}
