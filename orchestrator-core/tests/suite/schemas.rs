//! The JSON schemas of the formats that people and other programs meet: a change of one of them is a change that is read.

use orchestrator_core::{
    Handoff, Snapshot,
    agent::AgentKinds,
    driver::Check,
    model::{AgentOpinion, Contract, ContractKeys},
};
use schemars::{JsonSchema, schema_for};

fn schema<T: JsonSchema>() -> String {
    serde_json::to_string_pretty(&schema_for!(T)).expect("serialises")
}

#[test]
fn the_handoff() {
    insta::assert_snapshot!(schema::<Handoff>());
}

#[test]
fn the_policy() {
    let policy = AgentKinds::new().policy_schema();
    insta::assert_snapshot!(serde_json::to_string_pretty(&policy).expect("serialises"));
}

#[test]
fn the_contracts_keys() {
    insta::assert_snapshot!(schema::<ContractKeys>());
}

#[test]
fn the_contract() {
    insta::assert_snapshot!(schema::<Contract>());
}

#[test]
fn what_a_reviewing_agent_answers() {
    insta::assert_snapshot!(schema::<AgentOpinion>());
}

#[test]
fn the_snapshot() {
    insta::assert_snapshot!(schema::<Snapshot>());
}

#[test]
fn a_check() {
    insta::assert_snapshot!(schema::<Check>());
}
