//! What the tests of the guide's recipes share.

/// The tasks of a recipe's roadmap.
pub(crate) const TASKS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];

/// The policy that a page of the guide gives: its first block of TOML.
pub(crate) fn policy_of(recipe: &str) -> &str {
    let (_, rest) = recipe.split_once("```toml\n").expect("a policy");
    rest.split_once("```").expect("ends").0
}
