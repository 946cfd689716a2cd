//! What waits for a person, and what waits for an agent, to be printed.

use orchestrator_core::status::Snapshot;

/// Each agent that cannot be used, why, and until when.
#[must_use]
pub fn agents(snapshot: &Snapshot) -> String {
    let agents = snapshot.agents.iter();
    agents.map(|agent| format!("{}\n", agent.what)).collect()
}

/// Each open question with all that it can be decided on, to be printed.
#[must_use]
pub fn holds(snapshot: &Snapshot) -> String {
    let asked = snapshot
        .tasks
        .iter()
        .filter_map(|task| Some((task, task.hold.as_ref()?)));
    let told = asked.map(|(task, hold)| {
        let question = hold.question.replace('\n', "\n  ");
        let brief: String = hold
            .brief
            .to_string()
            .lines()
            .map(|line| format!("  {line}\n"))
            .collect();
        let options: Vec<_> = hold.options.iter().map(|option| option.as_str()).collect();
        let answer = format!(
            "supervise answer {} {} [--note TEXT]",
            hold.id,
            options.join("|")
        );
        format!(
            "\n{} asks about {} ({}):\n  {question}\n{brief}  answer with: {answer}\n",
            hold.id, task.id, task.title
        )
    });
    told.collect()
}
