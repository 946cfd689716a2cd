//! Why work goes on in another package.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{PackageName, TaskId};

/// Why the run takes its work from another package now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PackageChange {
    /// It has the first task that is ready.
    FirstReady,
    /// All tasks of the package before have landed.
    Landed {
        /// The package before; `None` for tasks outside any.
        from: Option<PackageName>,
    },
    /// No task of the package before can go on now.
    Blocked {
        /// The package before; `None` for tasks outside any.
        from: Option<PackageName>,
        /// Its tasks that have not landed.
        left: Vec<TaskId>,
    },
}

impl fmt::Display for PackageChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstReady => f.write_str("it has the first ready task"),
            Self::Landed { from } => write!(f, "{} has landed", name(from.as_ref())),
            Self::Blocked { from, left } => {
                let left: Vec<_> = left.iter().map(TaskId::as_str).collect();
                write!(
                    f,
                    "nothing of {} can go on now; it has yet: {}",
                    name(from.as_ref()),
                    left.join(", ")
                )
            }
        }
    }
}

fn name(package: Option<&PackageName>) -> String {
    package.map_or_else(
        || "what has no package".to_owned(),
        |name| format!("`{name}`"),
    )
}
