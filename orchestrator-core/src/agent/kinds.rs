//! The kinds of agent that a policy can name: each with its settings and its backend.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt, iter,
    sync::Arc,
};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{DeserializeOwned, value::MapDeserializer};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::{CommandAgent, installed::named_variables};
use crate::{
    model::{AgentKind, AgentSpec, BackendName, InvalidName, Policy, PolicyError, listed},
    port::AgentBackend,
};

/// The keys that every kind has, and that no kind's settings may have for itself.
const COMMON: [&str; 3] = ["kind", "env", "failover"];

/// The kinds of agent that a policy can name.
///
/// A kind is a name, the settings that a policy may give, and a factory that makes a backend of
/// them. The core has `command`; every other kind is registered by the program:
///
/// ```
/// use orchestrator_core::agent::{AgentEntry, AgentKinds, CommandAgent, SettingError};
///
/// /// What `[agents.NAME]` with `kind = "aider"` may say.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// struct AiderSettings {
///     /// The model.
///     model: String,
/// }
///
/// fn aider(settings: AiderSettings, agent: &AgentEntry) -> Result<CommandAgent, SettingError> {
///     if settings.model.is_empty() {
///         return Err(SettingError::new("model", "must name a model"));
///     }
///     let aider = CommandAgent::new("aider", ["--yes", "--model", settings.model.as_str()]);
///     Ok(aider.envs(agent.environment.clone()))
/// }
///
/// let kinds = AgentKinds::new().register("aider", aider)?;
/// # let policy = "[agents.a]\nkind = \"aider\"\nmodel = \"m\"";
/// # kinds.check(&orchestrator_core::Policy::parse(policy)?)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A key of the policy that the settings have no field for is an error, and so is a field that is
/// missing or has another type. A kind whose agents may be `done = "exit"` has a field `done` of type
/// [`DoneBy`](crate::model::DoneBy); `kind`, `env` and `failover` belong to every kind.
#[derive(Clone)]
pub struct AgentKinds {
    kinds: BTreeMap<AgentKind, Kind>,
}

/// What a policy says of an agent besides the settings of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AgentEntry {
    /// The agent's name in the policy.
    pub name: BackendName,
    /// The variables that the key `env` names, with the values that they have here.
    pub environment: BTreeMap<String, String>,
}

/// A setting that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{key}`: {why}")]
#[non_exhaustive]
pub struct SettingError {
    /// The key within `[agents.NAME]`, such as `model` or `servers.docs`.
    pub key: String,
    /// What is wrong, and the fix.
    pub why: String,
}

impl SettingError {
    /// This key, and what is wrong with it.
    pub fn new(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            why: why.into(),
        }
    }
}

/// Why a kind was not registered.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// Its name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// There is one of this name.
    #[error("there is a kind of agent `{0}` already: register this one under another name")]
    Taken(AgentKind),
}

type Build =
    dyn Fn(&BackendName, &AgentSpec) -> Result<Arc<dyn AgentBackend>, PolicyError> + Send + Sync;

#[derive(Clone)]
struct Kind {
    build: Arc<Build>,
    schema: fn(&mut SchemaGenerator) -> Schema,
}

impl Default for AgentKinds {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AgentKinds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.kinds.keys()).finish()
    }
}

impl AgentKinds {
    /// The kind that the core has: `command`, any program that keeps the command protocol.
    #[must_use]
    pub fn new() -> Self {
        let none = Self {
            kinds: BTreeMap::new(),
        };
        none.register("command", CommandAgent::from_settings)
            .expect("the name is valid, and the first")
    }

    /// Adds a kind: agents of it have the settings `S`, of which the factory makes a backend. The
    /// factory starts nothing: it is also called to check a policy.
    ///
    /// # Errors
    /// [`RegisterError`] for a name that is none, or that another kind has.
    pub fn register<S, B>(
        mut self,
        kind: &str,
        factory: impl Fn(S, &AgentEntry) -> Result<B, SettingError> + Send + Sync + 'static,
    ) -> Result<Self, RegisterError>
    where
        S: DeserializeOwned + JsonSchema,
        B: AgentBackend,
    {
        let kind = AgentKind::new(kind)?;
        if self.kinds.contains_key(&kind) {
            return Err(RegisterError::Taken(kind));
        }

        let build = move |name: &BackendName, spec: &AgentSpec| {
            let settings = read_settings::<S>(name, spec)?;
            let agent = AgentEntry {
                name: name.clone(),
                environment: environment_of(name, spec)?,
            };
            match factory(settings, &agent) {
                Ok(backend) => Ok(Arc::new(backend) as Arc<dyn AgentBackend>),
                Err(wrong) => Err(spec.wrong(name, Some(&wrong.key), wrong.why)),
            }
        };
        let added = Kind {
            build: Arc::new(build),
            schema: S::json_schema,
        };
        self.kinds.insert(kind, added);
        Ok(self)
    }

    /// Whether there is a kind of this name.
    #[must_use]
    pub fn has(&self, kind: &AgentKind) -> bool {
        self.kinds.contains_key(kind)
    }

    /// Checks the settings of each agent of a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the first kind that is not registered, or setting that is wrong.
    pub fn check(&self, policy: &Policy) -> Result<(), PolicyError> {
        let mut agents = policy.agents.iter();
        agents.try_for_each(|(name, spec)| self.build(name, spec).map(drop))
    }

    /// Makes the backend of one agent of a policy.
    ///
    /// # Errors
    /// [`PolicyError`] with the line, where the policy was parsed, and the key.
    pub fn build(
        &self,
        name: &BackendName,
        spec: &AgentSpec,
    ) -> Result<Arc<dyn AgentBackend>, PolicyError> {
        let Some(kind) = self.kinds.get(&spec.kind) else {
            let why = format!(
                "this program has no kind of agent `{}`, only {}: name one of them, register the \
                 kind with `AgentKinds::register`, or give this agent's backend to the builder",
                spec.kind,
                listed(self.kinds.keys())
            );
            return Err(spec.wrong(name, Some("kind"), why));
        };
        (kind.build)(name, spec)
    }

    /// The JSON schema of policies whose agents are of these kinds.
    ///
    /// # Panics
    /// Never: a policy's schema has a definition of its agents.
    #[must_use]
    pub fn policy_schema(&self) -> Schema {
        let mut generator = SchemaGenerator::default();
        let kinds: Vec<_> = self
            .kinds
            .iter()
            .map(|(name, kind)| schema_of(name, (kind.schema)(&mut generator), &mut generator))
            .collect();
        let mut policy = generator.into_root_schema_for::<Policy>();
        let agents = policy.pointer_mut("/$defs/AgentSpec");
        *agents.expect("a policy has agents") = json!({
            "description": "An agent, by its kind.",
            "oneOf": kinds,
        });
        policy
    }
}

/// The schema of one kind's table in a policy: its settings, and what every kind has.
fn schema_of(kind: &AgentKind, settings: Schema, generator: &mut SchemaGenerator) -> Value {
    let common = AgentSpec::json_schema(generator).to_value();
    let mut schema = settings.to_value();
    schema["type"] = json!("object");
    schema["properties"]["kind"] = json!({ "type": "string", "const": kind });
    for key in &COMMON[1..] {
        schema["properties"][key] = common["properties"][key].clone();
    }

    let mut required = vec![json!("kind")];
    required.extend(schema["required"].as_array().cloned().unwrap_or_default());
    schema["required"] = required.into();
    if schema.get("additionalProperties").is_none() {
        schema["additionalProperties"] = json!(false);
    }
    schema
}

/// The settings of an agent's kind, as its table of the policy has them.
fn read_settings<S: DeserializeOwned + JsonSchema>(
    name: &BackendName,
    spec: &AgentSpec,
) -> Result<S, PolicyError> {
    let mut table = spec.settings.clone();
    if let Some(done) = spec.done {
        let done = toml::Value::try_from(done).expect("a unit variant is a string");
        table.insert("done".to_owned(), done);
    }

    let schema = S::json_schema(&mut SchemaGenerator::default()).to_value();
    let takes_any = !matches!(
        schema["additionalProperties"],
        Value::Null | Value::Bool(false)
    );
    let fields = schema["properties"].as_object();
    let known: BTreeSet<&str> = fields
        .into_iter()
        .flat_map(Map::keys)
        .map(String::as_str)
        .chain(COMMON)
        .collect();
    let unknown = table.keys().find(|key| !known.contains(key.as_str()));
    if let Some(key) = unknown.filter(|_| !takes_any) {
        let why = format!("unknown field `{key}`, expected one of {}", listed(known));
        return Err(spec.wrong(name, Some(key), why));
    }

    // The key that is being read; none behind the last one, where a missing key is noticed.
    let reading = RefCell::new(None);
    let entries = table
        .into_iter()
        .inspect(|(key, _)| *reading.borrow_mut() = Some(key.clone()))
        .chain(iter::from_fn(|| {
            reading.take();
            None
        }));
    S::deserialize(MapDeserializer::new(entries)).map_err(|error: toml::de::Error| {
        let key = reading.take();
        spec.wrong(name, key.as_deref(), error.message().trim().to_owned())
    })
}

/// The variables that an agent is given out of our own environment.
fn environment_of(
    name: &BackendName,
    spec: &AgentSpec,
) -> Result<BTreeMap<String, String>, PolicyError> {
    named_variables(&spec.env).map_err(|variable| {
        let why = format!("`{variable}` is not set: set it, or take it out of the policy");
        spec.wrong(name, Some("env"), why)
    })
}
