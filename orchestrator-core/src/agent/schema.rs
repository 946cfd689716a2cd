//! Schemas as the agents' services take them.

use serde_json::{Map, Value};

/// The words of JSON Schema that both OpenAI's strict outputs and Claude Code's validator (draft 7, no formats) take.
const TAKEN: &[&str] = &[
    "$defs",
    "$ref",
    "additionalProperties",
    "anyOf",
    "const",
    "description",
    "enum",
    "items",
    "oneOf",
    "properties",
    "required",
    "type",
];

/// A schema that a service takes which is strict about them: every property is required (one that may be left out is of a type that may
/// be null), no others are allowed, and what not every validator knows is left out. Whoever reads the answer checks it by the whole schema.
#[must_use]
pub fn strict_schema(schema: &Value) -> Value {
    let Value::Object(members) = schema else {
        return schema.clone();
    };
    let mut strict = Map::new();
    for (word, value) in members
        .iter()
        .filter(|(word, _)| TAKEN.contains(&word.as_str()))
    {
        let value = match (word.as_str(), value) {
            ("properties" | "$defs", Value::Object(named)) => named
                .iter()
                .map(|(name, schema)| (name.clone(), strict_schema(schema)))
                .collect(),
            ("items", schema) => strict_schema(schema),
            ("anyOf" | "oneOf", Value::Array(ways)) => ways.iter().map(strict_schema).collect(),
            (_, value) => value.clone(),
        };
        // What is one of several is any of them, where the ways exclude each other; only the latter is known everywhere.
        strict.insert(
            if word == "oneOf" {
                "anyOf".to_owned()
            } else {
                word.clone()
            },
            value,
        );
    }
    if let Some(Value::Object(properties)) = strict.get("properties") {
        let names = properties.keys().cloned().map(Value::String).collect();
        strict.insert("required".to_owned(), Value::Array(names));
        strict.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    Value::Object(strict)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{AgentOpinion, Handoff};

    /// All words that are used as such, and whether every object is closed and wants all that it has.
    fn look(schema: &Value, words: &mut std::collections::BTreeSet<String>) {
        let Value::Object(members) = schema else {
            return;
        };
        for (word, value) in members {
            words.insert(word.clone());
            match (word.as_str(), value) {
                ("properties" | "$defs", Value::Object(named)) => {
                    named.values().for_each(|schema| look(schema, words));
                }
                ("items", schema) => look(schema, words),
                ("anyOf", Value::Array(ways)) => ways.iter().for_each(|way| look(way, words)),
                _ => {}
            }
        }
        if let Some(Value::Object(properties)) = members.get("properties") {
            let required = members["required"].as_array().map(Vec::len);
            assert_eq!(
                (required, &members["additionalProperties"]),
                (Some(properties.len()), &Value::Bool(false)),
                "{schema}"
            );
        }
    }

    #[test]
    fn what_we_ask_for_is_what_every_service_takes() {
        for schema in [
            schemars::schema_for!(Handoff).to_value(),
            schemars::schema_for!(AgentOpinion).to_value(),
        ] {
            let (strict, mut words) = (strict_schema(&schema), std::collections::BTreeSet::new());
            look(&strict, &mut words);
            let unknown: Vec<_> = words
                .iter()
                .filter(|word| !TAKEN.contains(&word.as_str()))
                .collect();
            assert!(unknown.is_empty(), "{unknown:?}");
            assert_eq!(strict["type"], "object");
            assert_eq!(
                strict_schema(&strict),
                strict,
                "made strict twice, it is the same"
            );
        }
    }
}
