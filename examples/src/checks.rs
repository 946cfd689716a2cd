//! Printing a preflight.

use std::io;

use orchestrator_core::driver::{Check, CheckOutcome, Preflight};

use super::print;

/// Prints each check when it is known: for people, or each as one line of JSON. Whether none failed.
///
/// # Errors
/// When it cannot be printed.
pub async fn print_checks(preflight: &mut Preflight, json: bool) -> io::Result<bool> {
    let mut is_ready = true;
    while let Some(check) = preflight.next().await {
        is_ready &= check.outcome != CheckOutcome::Failed;
        let text = if json {
            serde_json::to_string(&check)? + "\n"
        } else {
            for_people(&check)
        };
        print(&text)?;
    }
    Ok(is_ready)
}

fn for_people(check: &Check) -> String {
    let what = check.what.trim_end().replace('\n', "\n         ");
    let mut text = format!("{:<8} {}: {what}\n", check.outcome, check.name);
    if let Some(fix) = &check.fix {
        text += &format!("         fix: {fix}\n");
    }
    text
}
