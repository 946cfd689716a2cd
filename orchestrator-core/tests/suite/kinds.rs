//! Kinds of agent that a program registers, and what is said of a policy that they do not fit.

use orchestrator_core::{
    Policy,
    agent::{AgentEntry, AgentKinds, CommandAgent, RegisterError, SettingError},
    driver::Orchestrator,
    model::{AgentKind, AgentSpec, DoneBy, EndReason},
};
use orchestrator_testkit::{run_checked, shell_worker};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::common::{WORK, sandbox};

/// What a policy says of a kind that only this test knows.
#[derive(Debug, Deserialize, JsonSchema)]
struct Robot {
    /// Program and arguments.
    parts: Vec<String>,
    /// How often it greets.
    #[serde(default)]
    greetings: u8,
    /// Names of things, by their place.
    #[serde(default)]
    things: std::collections::BTreeMap<String, String>,
}

fn robot(robot: Robot, agent: &AgentEntry) -> Result<CommandAgent, SettingError> {
    if robot.greetings > 3 {
        return Err(SettingError::new("greetings", "at most 3"));
    }
    if let Some((place, _)) = robot.things.iter().find(|(_, name)| name.is_empty()) {
        return Err(SettingError::new(format!("things.{place}"), "needs a name"));
    }
    let program = robot.parts.first().cloned().unwrap_or_default();
    let command = CommandAgent::new(program, robot.parts.into_iter().skip(1));
    Ok(command.envs(agent.environment.clone()))
}

fn kinds() -> AgentKinds {
    let kinds = AgentKinds::new().register("robot", robot);
    kinds.expect("no other has this name")
}

#[tokio::test]
async fn kind_that_only_the_program_knows_does_a_task() {
    let sandbox = sandbox(&[("A", "")]);
    let script = format!("[ -n \"$CARGO_MANIFEST_DIR\" ] || exit 9; {WORK}");
    let parts = shell_worker(sandbox.path(), "worker", &script);
    let text = format!(
        "push = \"origin\"\n[agents.r2]\nkind = \"robot\"\nparts = {parts:?}\n\
         env = [\"CARGO_MANIFEST_DIR\"]\n[limits]\nheartbeat = \"50ms\"\n"
    );
    let policy = Policy::parse(&text).expect("a valid policy");
    let builder = Orchestrator::builder().policy(policy).agent_kinds(kinds());
    let outcome = run_checked(&sandbox, builder).await;
    assert_eq!(outcome.report.ended, EndReason::Complete);
    assert_eq!(sandbox.remote_file("A.txt"), "A");
}

/// What is said of this table of an agent, which begins on line 2.
fn said(table: &str) -> String {
    let text = format!("max_sessions = 1\n[agents.r2]\nkind = \"robot\"\n{table}");
    let policy = Policy::parse(&text).expect("parses without its kind");
    match kinds().check(&policy) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn settings_of_a_kind_are_refused_with_line_and_key() {
    assert_eq!(said("parts = [\"x\"]\nfailover = []"), "");
    let cases = [
        (
            "parts = [\"x\"]\nwheels = 4",
            "line 5: `agents.r2.wheels`: unknown field `wheels`, expected one of `env`, \
             `failover`, `greetings`, `kind`, `parts`, `things`",
        ),
        (
            "done = \"exit\"\nparts = [\"x\"]",
            "line 4: `agents.r2.done`: unknown field `done`, expected one of `env`, `failover`, \
             `greetings`, `kind`, `parts`, `things`",
        ),
        (
            "parts = [\"x\"]\n\ngreetings = \"many\"",
            "line 6: `agents.r2.greetings`: invalid type: string \"many\", expected u8",
        ),
        (
            "greetings = 1",
            "line 2: `agents.r2`: missing field `parts`",
        ),
        (
            "parts = [\"x\"]\ngreetings = 4",
            "line 5: `agents.r2.greetings`: at most 3",
        ),
        (
            "parts = [\"x\"]\n[agents.r2.things]\nleft = \"\"",
            "line 5: `agents.r2.things.left`: needs a name",
        ),
        (
            "parts = [\"x\"]\nenv = [\"NO_SUCH_VARIABLE\"]",
            "line 5: `agents.r2.env`: `NO_SUCH_VARIABLE` is not set: set it, or take it out of \
             the policy",
        ),
    ];
    for (table, expected) in cases {
        assert_eq!(said(table), expected);
    }
}

#[test]
fn settings_of_a_policy_built_in_code_are_refused_with_their_key() {
    let kind = AgentKind::new("command").expect("a name");
    let mut policy = Policy::default();
    let mut spec = AgentSpec::new(kind).with("run", vec!["x".to_owned()]);
    spec.done = Some(DoneBy::Exit);
    let name: orchestrator_core::BackendName = "a".parse().expect("a name");
    policy.agents.insert(name.clone(), spec.clone());
    assert_eq!(kinds().check(&policy), Ok(()));

    policy
        .agents
        .insert(name, spec.with("run", Vec::<String>::new()));
    let error = kinds().check(&policy).expect_err("names no program");
    assert_eq!(
        error.to_string(),
        "`agents.a.run`: needs a program, as in `run = [\"./agent.sh\"]`"
    );
}

#[test]
fn kind_that_is_not_registered_is_refused_with_those_that_are() {
    let policy = Policy::parse("[agents.a]\nkind = \"android\"").expect("parses");
    let error = kinds().check(&policy).expect_err("is not registered");
    assert_eq!(
        error.to_string(),
        "line 2: `agents.a.kind`: this program has no kind of agent `android`, only `command`, \
         `robot`: name one of them, register the kind with `AgentKinds::register`, or give this \
         agent's backend to the builder"
    );
}

#[test]
fn kind_is_not_registered_under_a_name_that_is_taken_or_is_none() {
    let taken = kinds().register("robot", robot).expect_err("is taken");
    assert_eq!(
        taken,
        RegisterError::Taken(AgentKind::new("robot").expect("a name"))
    );
    let command = AgentKinds::new().register("command", robot);
    assert!(matches!(command, Err(RegisterError::Taken(_))));
    let none = AgentKinds::new().register("no name", robot);
    assert!(matches!(none, Err(RegisterError::Name(_))));
}
