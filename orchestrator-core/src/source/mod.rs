//! Task sources in the box: a Markdown roadmap in the repository, and a list in memory.

mod grammar;
mod markdown;
mod memory;

pub use markdown::MarkdownRoadmap;
pub use memory::TaskList;
