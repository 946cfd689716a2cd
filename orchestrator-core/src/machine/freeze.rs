//! From a task and the policy to a contract, and whether a whole roadmap can be worked on at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use thiserror::Error;

use crate::model::{
    BackendName, Budget, Claim, Contract, ContractError, GateName, Pattern, Policy, ResourceName,
    Task, TaskId,
};

static EVERYTHING: LazyLock<Vec<Pattern>> =
    LazyLock::new(|| vec!["**".parse().expect("a valid pattern")]);

/// The paths that a task may change: its own, the policy's, or everything.
pub(super) fn allowed<'a>(task: &'a Task, policy: &'a Policy) -> &'a [Pattern] {
    task.keys
        .allow
        .as_ref()
        .or(policy.defaults.allow.as_ref())
        .unwrap_or(&EVERYTHING)
}

/// The resources that a task holds alone.
pub(super) fn resources<'a>(task: &'a Task, policy: &'a Policy) -> &'a [ResourceName] {
    task.keys
        .resources
        .as_ref()
        .or(policy.defaults.resources.as_ref())
        .map_or(&[], Vec::as_slice)
}

/// The tasks that must have landed first.
pub(super) fn after(task: &Task) -> &[TaskId] {
    task.keys.after.as_deref().unwrap_or_default()
}

/// Freezes the contract of a task: its own keys, the policy's defaults where it has none, and the policy's gates, whole.
/// `forbid` adds up; the paths that the policy always forbids come last.
///
/// # Errors
/// [`ContractError`] when a name means nothing. `agents` are the backends that can be used.
pub fn freeze<'b>(
    task: &Task,
    policy: &Policy,
    agents: impl IntoIterator<Item = &'b BackendName>,
) -> Result<Contract, ContractError> {
    let agents: Vec<_> = agents.into_iter().collect();
    let agent = check_task(task, policy, &agents)?.clone();
    let (keys, defaults) = (&task.keys, &policy.defaults);
    let gates = match gate_names(task, policy) {
        // A gate that is named twice is run once.
        Some(names) => {
            let first = |(at, name): &(usize, &GateName)| !names[..*at].contains(name);
            let rule = |name: &GateName| {
                policy
                    .gates
                    .get(name)
                    .map(|rule| rule.named(name, &policy.setup))
            };
            names
                .iter()
                .enumerate()
                .filter(first)
                .filter_map(|(_, name)| rule(name))
                .collect()
        }
        None => policy
            .gates
            .iter()
            .filter(|(_, rule)| rule.default)
            .map(|(name, rule)| rule.named(name, &policy.setup))
            .collect(),
    };
    let forbid = defaults
        .forbid
        .iter()
        .chain(&keys.forbid)
        .flatten()
        .chain(&policy.always_forbidden);
    Ok(Contract {
        task: task.id.clone(),
        title: task.title.clone(),
        package: task.package.clone(),
        text: task.text.clone(),
        allow: allowed(task, policy).to_vec(),
        forbid: forbid.cloned().collect(),
        gates,
        claims: claims(task, policy).to_vec(),
        after: after(task).to_vec(),
        resources: resources(task, policy).to_vec(),
        docs: keys
            .docs
            .as_ref()
            .or(defaults.docs.as_ref())
            .cloned()
            .unwrap_or_default(),
        artifacts: keys
            .artifacts
            .as_ref()
            .or(defaults.artifacts.as_ref())
            .cloned()
            .unwrap_or_default(),
        approve: keys
            .approve
            .as_ref()
            .or(defaults.approve.as_ref())
            .cloned()
            .unwrap_or_default(),
        agent,
        budget: budget(task, policy),
    })
}

/// The agent that would work on a task, whose contract can be frozen. Copies nothing: at each new tip the whole roadmap is checked.
///
/// # Errors
/// As [`freeze`].
pub(crate) fn check_task<'a>(
    task: &'a Task,
    policy: &'a Policy,
    agents: &[&'a BackendName],
) -> Result<&'a BackendName, ContractError> {
    let mut gates = gate_names(task, policy).unwrap_or_default().iter();
    if let Some(gate) = gates.find(|gate| !policy.gates.contains_key(gate)) {
        let known = policy.gates.keys().cloned().collect();
        return Err(ContractError::UnknownGate {
            gate: gate.clone(),
            known,
        });
    }
    let only = || (agents.len() == 1).then(|| agents[0]);
    let named = task.keys.agent.as_ref().or(policy.defaults.agent.as_ref());
    let agent = named
        .or_else(|| policy.fallback_agent())
        .or_else(only)
        .ok_or(ContractError::NoAgent)?;
    if !agents.contains(&agent) {
        let known = agents.iter().copied().cloned().collect();
        return Err(ContractError::UnknownAgent {
            agent: agent.clone(),
            known,
        });
    }
    if allowed(task, policy).is_empty() {
        return Err(ContractError::NothingAllowed);
    }
    let mut seen = BTreeSet::new();
    if let Some(twice) = claims(task, policy)
        .iter()
        .find(|claim| !seen.insert(&claim.id))
    {
        return Err(ContractError::DuplicateClaim {
            claim: twice.id.clone(),
        });
    }
    let budget = budget(task, policy);
    let zero = [
        ("attempts", budget.attempts == Some(0)),
        ("wall", budget.wall.is_some_and(|wall| wall.0 == 0)),
        ("tokens", budget.tokens == Some(0)),
        (
            "usd",
            budget.usd.is_some_and(|usd| usd <= 0.0 || usd.is_nan()),
        ),
        ("files", budget.files == Some(0)),
    ];
    match zero.into_iter().find(|(_, zero)| *zero) {
        Some((key, _)) => Err(ContractError::NoBudget {
            key: key.to_owned(),
        }),
        None => Ok(agent),
    }
}

/// The gates that a task or the policy names for it; `None` where the default ones apply.
fn gate_names<'a>(task: &'a Task, policy: &'a Policy) -> Option<&'a [GateName]> {
    task.keys
        .gates
        .as_ref()
        .or(policy.defaults.gates.as_ref())
        .map(Vec::as_slice)
}

fn claims<'a>(task: &'a Task, policy: &'a Policy) -> &'a [Claim] {
    task.keys
        .claims
        .as_ref()
        .or(policy.defaults.claims.as_ref())
        .map_or(&[], Vec::as_slice)
}

/// What a task may use: its own words, then the policy's.
pub(crate) fn budget(task: &Task, policy: &Policy) -> Budget {
    let own = task.keys.budget.unwrap_or_default();
    let fallback = policy.defaults.budget.unwrap_or_default();
    Budget {
        attempts: own.attempts.or(fallback.attempts),
        wall: own.wall.or(fallback.wall),
        tokens: own.tokens.or(fallback.tokens),
        usd: own.usd.or(fallback.usd),
        files: own.files.or(fallback.files),
    }
}

/// What is wrong with a roadmap as a whole, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoadmapFault {
    /// Where the task is written; `None` where there is no such place.
    pub place: Option<String>,
    /// What is wrong.
    pub what: Inconsistency,
}

impl std::fmt::Display for RoadmapFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.what),
            None => self.what.fmt(f),
        }
    }
}

/// Why a roadmap makes no sense as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Inconsistency {
    /// Two tasks bear one id.
    #[error("task `{task}` is there twice: give one of them another id")]
    Duplicate {
        /// The id.
        task: TaskId,
    },
    /// A task waits for one that is not there.
    #[error(
        "task `{task}`: `after` names `{missing}`, which is not in the roadmap: add it, or take it out of `after`"
    )]
    UnknownDependency {
        /// The task.
        task: TaskId,
        /// What it names.
        missing: TaskId,
    },
    /// Tasks wait for one another.
    #[error("{}", cycle_message(.tasks))]
    Cycle {
        /// Each waits for the next, and the last for the first.
        tasks: Vec<TaskId>,
    },
    /// A task's contract cannot be frozen.
    #[error("task `{task}`: {error}")]
    Contract {
        /// The task.
        task: TaskId,
        /// Why.
        error: ContractError,
    },
}

fn cycle_message(tasks: &[TaskId]) -> String {
    if let [task] = tasks {
        return format!("task `{task}` waits for itself: take it out of its `after`");
    }
    let named: Vec<_> = tasks.iter().map(|task| format!("`{task}`")).collect();
    format!(
        "these tasks wait for one another, so that none can begin: {}; take one out of an `after`",
        named.join(" after ")
    )
}

/// Checks a roadmap against itself and the policy, before anything is started on account of it (law 14).
///
/// # Errors
/// All faults that were found, in the roadmap's order.
pub fn check_roadmap<'b>(
    tasks: &'b [Task],
    policy: &'b Policy,
    agents: impl IntoIterator<Item = &'b BackendName>,
) -> Result<(), Vec<RoadmapFault>> {
    let agents: Vec<_> = agents.into_iter().collect();
    let mut faults = Vec::new();
    let fault = |task: &Task, what| RoadmapFault {
        place: task.place.clone(),
        what,
    };
    let mut known = BTreeMap::new();
    for task in tasks {
        if known.insert(&task.id, task).is_some() {
            faults.push(fault(
                task,
                Inconsistency::Duplicate {
                    task: task.id.clone(),
                },
            ));
        }
    }
    for task in tasks {
        for missing in after(task).iter().filter(|id| !known.contains_key(id)) {
            faults.push(fault(
                task,
                Inconsistency::UnknownDependency {
                    task: task.id.clone(),
                    missing: missing.clone(),
                },
            ));
        }
        if let Some(error) = (!task.done)
            .then(|| check_task(task, policy, &agents).err())
            .flatten()
        {
            faults.push(fault(
                task,
                Inconsistency::Contract {
                    task: task.id.clone(),
                    error,
                },
            ));
        }
    }
    if let Some(tasks) = cycle(&known) {
        let place = tasks
            .first()
            .and_then(|task| known.get(task))
            .and_then(|task| task.place.clone());
        faults.push(RoadmapFault {
            place,
            what: Inconsistency::Cycle { tasks },
        });
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// A cycle among dependencies: tasks are taken away as long as one is left that waits for none of the others; what stays
/// is in a cycle or behind one, and following the first dependency from anywhere in it leads into the cycle.
fn cycle(tasks: &BTreeMap<&TaskId, &Task>) -> Option<Vec<TaskId>> {
    let mut dependents: BTreeMap<&TaskId, Vec<&TaskId>> = BTreeMap::new();
    // How many of those that each waits for are left.
    let mut left: BTreeMap<&TaskId, usize> = BTreeMap::new();
    for (id, task) in tasks {
        let known = after(task).iter().filter(|dep| tasks.contains_key(dep));
        left.insert(id, known.clone().count());
        known.for_each(|dep| dependents.entry(dep).or_default().push(id));
    }
    let waits_for_none = left.iter().filter(|(_, count)| **count == 0);
    let mut free: Vec<&TaskId> = waits_for_none.map(|(id, _)| *id).collect();
    while let Some(id) = free.pop() {
        left.remove(id);
        for dependent in dependents.get(id).into_iter().flatten() {
            if let Some(count) = left.get_mut(dependent) {
                *count -= 1;
                if *count == 0 {
                    free.push(dependent);
                }
            }
        }
    }
    let mut way: Vec<&TaskId> = vec![left.keys().next()?];
    let mut places = BTreeMap::from([(way[0], 0)]);
    loop {
        let next = after(tasks[way[way.len() - 1]])
            .iter()
            .find(|dep| left.contains_key(dep))?;
        if let Some(start) = places.get(next) {
            return Some(way[*start..].iter().map(|id| (*id).clone()).collect());
        }
        places.insert(next, way.len());
        way.push(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ContractKeys;

    fn task(id: &str, after: &[&str]) -> Task {
        let after = Some(
            after
                .iter()
                .map(|id| TaskId::new(id).expect("an id"))
                .collect(),
        );
        Task::new(TaskId::new(id).expect("an id"), id).with_keys(ContractKeys {
            after,
            ..ContractKeys::default()
        })
    }

    fn faults(tasks: &[Task]) -> Vec<String> {
        let agent = BackendName::new("a").expect("a name");
        let found = check_roadmap(tasks, &Policy::default(), [&agent])
            .err()
            .unwrap_or_default();
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_roadmap_of_many_tasks_is_checked_in_one_pass() {
        // Each pass over what is left would take this from a second to hours.
        let count = 100_000;
        let name = |number: usize| format!("T{number:06}");
        let chain: Vec<_> = (0..count)
            .map(|number| task(&name(number), &[&name((number + 1).min(count - 1))]))
            .collect();
        let last = name(count - 1);
        assert_eq!(
            faults(&chain),
            [format!(
                "task `{last}` waits for itself: take it out of its `after`"
            )]
        );
        let free: Vec<_> = (0..count).map(|number| task(&name(number), &[])).collect();
        assert_eq!(faults(&free), Vec::<String>::new());
    }

    #[test]
    fn a_roadmap_that_cannot_be_worked_on_says_why() {
        assert_eq!(
            faults(&[task("A", &[]), task("B", &["A"])]),
            Vec::<String>::new()
        );
        assert_eq!(
            faults(&[task("A", &[]), task("A", &[])]),
            ["task `A` is there twice: give one of them another id"]
        );
        let unknown = "task `A`: `after` names `X`, which is not in the roadmap: add it, or take it out of `after`";
        assert_eq!(faults(&[task("A", &["X"])]), [unknown]);
        assert_eq!(
            faults(&[task("A", &["B"]), task("B", &["C"]), task("C", &["B"])]),
            [
                "these tasks wait for one another, so that none can begin: `B` after `C`; take one out of an `after`"
            ]
        );
    }
}
