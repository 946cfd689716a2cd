//! How a program's last words are shown to a person.

/// The ends of a program's two streams, each after its name; nothing of a stream that is empty.
///
/// Takes what [`Captured::end`](super::Captured::end) gives of each.
#[must_use]
pub(crate) fn labelled_ends(stdout: &str, stderr: &str) -> String {
    let named = [("stderr", stderr), ("stdout", stdout)];
    let shown: Vec<_> = named
        .into_iter()
        .filter(|(_, end)| !end.trim().is_empty())
        .map(|(name, end)| {
            let apart = if end.contains('\n') { '\n' } else { ' ' };
            format!("{name}:{apart}{}", end.trim_end())
        })
        .collect();
    shown.join("\n")
}

/// How a program ended, and the ends of its streams.
pub(crate) fn with_ends(how: &str, stdout: &str, stderr: &str) -> String {
    let ends = labelled_ends(stdout, stderr);
    if ends.is_empty() {
        how.to_owned()
    } else {
        format!("{how}; {ends}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_named_and_empty_ones_are_not() {
        assert_eq!(labelled_ends("", " \n"), "");
        assert_eq!(labelled_ends("out", ""), "stdout: out");
        assert_eq!(
            labelled_ends("one\ntwo", "error"),
            "stderr: error\nstdout:\none\ntwo"
        );
        assert_eq!(
            with_ends("exit status 1", "", "error"),
            "exit status 1; stderr: error"
        );
        assert_eq!(with_ends("exit status 1", "", ""), "exit status 1");
    }
}
