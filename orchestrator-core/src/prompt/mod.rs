//! What an agent is told, made from the frozen contract and nothing else.
//!
//! The task's text and findings may come from anywhere, so they stand between fences that their own content cannot close.

mod review;

pub use review::{ReviewContext, review_prompt, standing_review_rules};

use std::{fmt::Write as _, path::Path};

use crate::model::{
    Ask, AttemptId, CommitId, Contract, Finding, HandoffFault, Obstacle, Pattern, Predecessor,
    TurnEnd, fenced,
};

/// All that a prompt is made from.
#[derive(Debug, Clone, Copy)]
pub struct PromptContext<'a> {
    /// For which attempt.
    pub attempt: &'a AttemptId,
    /// Under which contract.
    pub contract: &'a Contract,
    /// From which commit.
    pub base: CommitId,
    /// Where the handoff of this turn is to be.
    pub handoff: &'a Path,
    /// What the attempt before left, if the target had moved away from it.
    pub predecessor: Option<&'a Predecessor>,
    /// What a person said to the question of the attempt before.
    pub advice: Option<&'a str>,
    /// Whether the session has been told of the task before.
    pub resumed: bool,
}

/// The prompt of one turn.
#[must_use]
pub fn prompt(context: &PromptContext<'_>, ask: &Ask) -> String {
    match ask {
        Ask::Begin => begin(context),
        Ask::Revise { findings } => revise(context, findings),
        Ask::Repair { why } => repair(context, why),
        Ask::Continue { ended, note } => go_on(context, ended, note.as_deref()),
    }
}

fn begin(context: &PromptContext<'_>) -> String {
    let PromptContext {
        attempt,
        contract,
        base,
        ..
    } = context;
    let mut text = format!(
        "You are working on one task in a repository of your own: a fresh worktree on branch `{}`, made from commit {base}.\n\n\
         # Task {}: {}\n\n",
        attempt.branch(),
        contract.task,
        one_line(&contract.title)
    );
    wanted(&mut text, contract);
    if let Some(predecessor) = context.predecessor {
        earlier(&mut text, predecessor);
    }
    if let Some(advice) = context.advice {
        let _ = write!(
            text,
            "An earlier attempt had a question. A person answered:\n\n{}\n",
            fenced(advice)
        );
    }
    rules(&mut text, contract);
    handoff(&mut text, context);
    text
}

/// What holds for the whole session of a worker, also when its conversation was compacted: the contract's rules.
#[must_use]
pub fn standing_rules(contract: &Contract) -> String {
    let mut text = format!(
        "You work on task {} ({}). What follows holds until the end, whatever else is said.\n\n",
        contract.task,
        one_line(&contract.title)
    );
    rules(&mut text, contract);
    text
}

fn wanted(text: &mut String, contract: &Contract) {
    if contract.text.trim().is_empty() {
        text.push_str("There is no description beyond the title.\n\n");
    } else {
        let _ = write!(
            text,
            "What is wanted, as the roadmap describes it:\n\n{}\n",
            fenced(&contract.text)
        );
    }
}

fn earlier(text: &mut String, predecessor: &Predecessor) {
    let Predecessor {
        head,
        tip,
        obstacle,
    } = predecessor;
    let story = match obstacle {
        Obstacle::Unfinished => format!(
            "An earlier attempt ended before its work was finished. What it left is kept as commit {head}; read it for reference \
             (`git diff {tip} {head}`), and take over what is good."
        ),
        Obstacle::Conflict { paths } => {
            let paths: Vec<_> = paths.iter().map(|path| format!("`{path}`")).collect();
            did_not_fit(
                head,
                tip,
                &format!(
                    "could not be merged into {tip}, which your base contains, because of {}.",
                    paths.join(", ")
                ),
            )
        }
        Obstacle::Gates { findings } => {
            let listed: Vec<_> = findings.iter().map(ToString::to_string).collect();
            let listed = fenced(&listed.join("\n"));
            did_not_fit(
                head,
                tip,
                &format!(
                    "was merged into {tip}, which your base contains, and the result failed:\n\n{listed}"
                ),
            )
        }
    };
    let _ = write!(text, "{story}\n\n");
}

fn did_not_fit(head: &CommitId, tip: &CommitId, why: &str) -> String {
    format!(
        "An earlier attempt did this already, but the target moved meanwhile: its head {head} {why}\nRead it for reference \
         (`git diff {tip}...{head}`), and do the task anew on what is there now."
    )
}

/// The turn before was cut off. A session that knows its task is only told to go on.
fn go_on(context: &PromptContext<'_>, ended: &TurnEnd, note: Option<&str>) -> String {
    let mut text = if context.resumed {
        let contract = context.contract;
        format!(
            "Your work on task {} ({}) was cut off:\n\n{}\nGo on in the same worktree and branch, where you stopped. Look at what \
             is there first (`git status`, `git log`). Finish the task, commit, and write the handoff.\n\n",
            contract.task,
            one_line(&contract.title),
            fenced(&ended.to_string())
        )
    } else {
        let mut text = begin(context);
        let _ = write!(
            text,
            "\nAn earlier session worked on this in the same worktree and branch, and was cut off. What it left is there: look at it \
             first (`git status`, `git log`), and go on from it.\n\n"
        );
        text
    };
    if let Some(note) = note {
        let _ = write!(text, "A person says:\n\n{}\n", fenced(note));
    }
    if context.resumed {
        handoff(&mut text, context);
    }
    text
}

fn repair(context: &PromptContext<'_>, why: &HandoffFault) -> String {
    let contract = context.contract;
    let mut text = format!(
        "You have committed work on task {} ({}), but its handoff is not as it must be:\n\n{}\nGo on in the same worktree and branch. \
         If your work is finished and committed, change nothing: only write the handoff. If it is not, finish and commit it first.\n\n",
        contract.task,
        one_line(&contract.title),
        fenced(&why.to_string())
    );
    if !context.resumed {
        wanted(&mut text, contract);
        rules(&mut text, contract);
    }
    handoff(&mut text, context);
    text
}

fn revise(context: &PromptContext<'_>, findings: &[Finding]) -> String {
    let contract = context.contract;
    let mut text = format!(
        "Your work on task {} ({}) was reviewed and cannot be accepted yet. Go on in the same worktree and branch.\n\n# Findings\n\n",
        contract.task,
        one_line(&contract.title)
    );
    let listed: Vec<_> = findings
        .iter()
        .zip(1..)
        .map(|(finding, number)| format!("{number}. [{}] {finding}", finding.id()))
        .collect();
    let _ = write!(
        text,
        "{}\nMend every one of them, and commit.\n\n",
        fenced(&listed.join("\n"))
    );
    if !context.resumed {
        wanted(&mut text, contract);
    }
    rules(&mut text, contract);
    handoff(&mut text, context);
    text
}

fn rules(text: &mut String, contract: &Contract) {
    text.push_str("# Rules\n\n");
    let list = |patterns: &[Pattern]| {
        patterns
            .iter()
            .map(|pattern| format!("`{pattern}`"))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let _ = writeln!(text, "- You may change only: {}.", list(&contract.allow));
    if !contract.forbid.is_empty() {
        let _ = writeln!(
            text,
            "- You may not change: {}. This wins over the line above.",
            list(&contract.forbid)
        );
    }
    for rule in &contract.docs {
        let _ = writeln!(
            text,
            "- If you change `{}`, change `{}` too.",
            rule.when, rule.then
        );
    }
    if let Some(files) = contract.budget.files {
        let _ = writeln!(text, "- Change at most {files} files.");
    }
    text.push_str(
        "- Commit your work on the branch that is checked out; what is not committed does not count. Keep the history that was there when you began.\n\
         - Every commit of yours is judged, and not only the last: what one adds and another takes away is pushed all the same. What must \
         not be there is taken out of the commit that brought it (`git commit --amend`, or `git reset --soft` to your base and a new commit).\n\
         - Do not push, merge, rebase, switch branches, add worktrees, clean up, or start other agents: that is done for you.\n",
    );
    if !contract.gates.is_empty() {
        text.push_str("\nThese checks will be run on the result of merging your work. Run them yourself before you finish:\n\n");
        for gate in &contract.gates {
            let _ = writeln!(text, "- {}: `{}`", gate.name, gate.run.join(" "));
        }
    }
    if !contract.claims.is_empty() {
        text.push_str(
            "\nThis is to be true afterwards. Say of each, by its id, in your handoff's `evidence` whether you have proven it, and how: \
             `direct` where you saw it on its own surface, `proxy` where you saw it elsewhere, `blocked` with the reason where you could \
             not. What you do not claim counts as not proven:\n\n",
        );
        for claim in &contract.claims {
            let _ = writeln!(
                text,
                "- {} (seen on `{}`): {}",
                claim.id,
                claim.surface,
                one_line(&claim.text)
            );
        }
    }
    if !contract.artifacts.is_empty() {
        text.push_str("\nLeave these files beside your handoff:\n\n");
        for name in &contract.artifacts {
            let _ = writeln!(text, "- {name}");
        }
    }
}

fn handoff(text: &mut String, context: &PromptContext<'_>) {
    let PromptContext {
        attempt, handoff, ..
    } = context;
    let _ = write!(
        text,
        "\n# Handoff\n\n\
         When you are finished, write this JSON to `{}` (its path is also in ORCHESTRATOR_HANDOFF). Everything in it is checked.\n\n\
         ```json\n\
         {{\"version\": 1, \"task\": \"{}\", \"attempt\": {}, \"status\": \"done\", \"reason\": null,\n \
         \"branch\": \"{}\", \"commit\": \"<full id of your last commit>\",\n \
         \"changed_files\": [\"<every path that differs from the base>\"],\n \
         \"gates\": [{{\"name\": \"<check>\", \"passed\": true}}], \"artifacts\": [],\n \
         \"self_review\": \"<what you found when you read your own change>\", \"residual_risks\": [],\n \
         \"evidence\": [{{\"claim\": \"<id>\", \"label\": \"direct|proxy|blocked\", \"note\": \"<how you know>\"}}]}}\n\
         ```\n\n\
         If you cannot go on, write `\"status\": \"blocked\"` with the reason; that is an honest result.\n",
        handoff.display(),
        attempt.task,
        attempt.number,
        attempt.branch(),
    );
}

fn one_line(text: &str) -> String {
    crate::model::clean(text)
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
