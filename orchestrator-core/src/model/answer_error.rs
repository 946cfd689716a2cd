//! Why an answer was refused.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{HoldId, HoldOption, TaskId};

/// Why an answer does not fit what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AnswerError {
    /// No hold has had this id.
    #[error("there is no such hold; {}", open_holds(.open))]
    UnknownHold {
        /// The holds that wait for an answer.
        open: Vec<HoldId>,
    },
    /// The hold was answered before, or has ended without an answer.
    #[error("it was answered before, or has ended by itself; {}", open_holds(.open))]
    Over {
        /// The holds that wait for an answer.
        open: Vec<HoldId>,
    },
    /// A person parked the task by their answer to this hold.
    #[error("{task} is parked: `retry` takes it up again")]
    Parked {
        /// The task.
        task: TaskId,
    },
    /// The hold does not offer this option.
    #[error("`{option}` is not among its options: {}", listed(.known))]
    UnknownOption {
        /// The option of the answer.
        option: HoldOption,
        /// The options of the hold.
        known: Vec<HoldOption>,
    },
    /// The hold has no such item.
    #[error("`{item}` is not among its items: {}", items(.known))]
    UnknownItem {
        /// The item of the answer.
        item: String,
        /// The items of the hold.
        known: Vec<String>,
    },
    /// The new contract takes what a task that is under way has.
    #[error(
        "its new paths or resources are those of {task}, which is under way: answer again when that has ended"
    )]
    InTheWay {
        /// The task that is under way.
        task: TaskId,
    },
    /// The answer names some findings of a repetition, and not all.
    #[error(
        "what is not waived would be sent back once more: waive all of it, or retry with a note"
    )]
    NotAllFindings,
}

fn open_holds(open: &[HoldId]) -> String {
    if open.is_empty() {
        "no question is open".to_owned()
    } else {
        format!("open are: {}", listed(open))
    }
}

fn items(known: &[String]) -> String {
    if known.is_empty() {
        "it has none".to_owned()
    } else {
        format!("they are: {}", known.join(", "))
    }
}

fn listed<T: ToString>(list: &[T]) -> String {
    let list: Vec<_> = list.iter().map(ToString::to_string).collect();
    list.join(", ")
}
