//! The items of a turn as updates: messages, tools, changes, and what commands print.

use std::{collections::BTreeMap, path::PathBuf};

use orchestrator_core::{
    agent::{Bounds, Reply, SandboxWatch, lenient::Text},
    model::Finding,
};

use super::wire::{Change, Item};

/// So many lines of what one command prints are told; after that, only that it lives.
const LINES: usize = 20;
/// So much of one of them, in characters.
const WIDTH: usize = 200;

/// What is under way.
#[derive(Debug, Default)]
pub(super) struct Items {
    /// Tools in flight, with the lines that each may still tell.
    tools: BTreeMap<String, usize>,
    last: String,
    /// Whether the model has said or done anything.
    pub(super) began_work: bool,
    /// Whether the sandbox lets commands run.
    pub(super) sandbox: SandboxWatch,
}

impl Items {
    /// The last message: the handoff.
    pub(super) fn last(&self) -> &str {
        &self.last
    }

    pub(super) fn began(&mut self, item: &Item<'_>, reply: &mut Reply) {
        self.began_work |= *item.kind != *"userMessage";
        if !is_tool(&item.kind) || self.tools.contains_key(&*item.id) {
            return reply.alive();
        }
        self.tools.insert(item.id.to_string(), LINES);
        let name = [&item.command, &item.tool, &item.query, &item.kind]
            .into_iter()
            .find_map(Text::some);
        reply.tool_began(&*item.id, name.unwrap_or_default());
    }

    pub(super) fn ended(&mut self, item: &Item<'_>, reply: &mut Reply) {
        if *item.status == *"declined" {
            reply.finding(refusal(item));
        }
        if let Some(status) = item.exit_code.0 {
            self.sandbox.ran(status == 0, &item.output);
        }
        if self.tools.remove(&*item.id).is_some() {
            return reply.tool_ended(&*item.id);
        }
        match &*item.kind {
            "agentMessage" => {
                (*item.text).clone_into(&mut self.last);
                reply.activity(&item.text);
            }
            "fileChange" => {
                let paths: Vec<_> = item.changes.0.iter().filter_map(path).collect();
                reply.activity(&format!("changed {}", paths.join(", ")));
            }
            "contextCompaction" => reply.activity("it has shortened its context"),
            _ => reply.alive(),
        }
    }

    /// A command has printed something: a sign of life, and within bounds something to read.
    pub(super) fn printed(&mut self, id: &str, text: &str, reply: &mut Reply) {
        let left = self.tools.get_mut(id);
        let lines = text
            .lines()
            .map(str::trim_end)
            .filter(|line| !line.is_empty());
        let Some(left) = left.filter(|left| **left > 0) else {
            return reply.alive();
        };
        let mut told = 0;
        for line in lines.take(*left) {
            let line: String = line.chars().take(WIDTH).collect();
            reply.activity(&line);
            told += 1;
        }
        *left -= told;
        if told == 0 {
            reply.alive();
        }
    }

    /// The turn is over: no tool of it is in flight.
    pub(super) fn end(&mut self, reply: &mut Reply) {
        for id in std::mem::take(&mut self.tools).into_keys() {
            reply.tool_ended(id);
        }
    }
}

/// That Codex has declined to do it.
fn refusal(item: &Item<'_>) -> Finding {
    let paths = item.changes.0.iter().filter_map(path);
    let paths: Vec<_> = paths.map(PathBuf::from).collect();
    let title = [&item.command, &item.tool, &item.query, &item.kind];
    let title = title.into_iter().find_map(Text::some).unwrap_or_default();
    Bounds::default().refusal(title, "Codex declined it", &paths)
}

fn is_tool(kind: &str) -> bool {
    matches!(
        kind,
        "commandExecution"
            | "mcpToolCall"
            | "dynamicToolCall"
            | "collabAgentToolCall"
            | "webSearch"
            | "imageGeneration"
            | "sleep"
    )
}

fn path<'t>(change: &'t Change<'_>) -> Option<&'t str> {
    change.path.some()
}
