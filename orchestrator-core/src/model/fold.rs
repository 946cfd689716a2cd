//! Names as file systems see them that are not as exact as git.
//!
//! Windows and macOS take names for one that differ in case; macOS also those that write the same letter in two ways, and HFS+
//! those that differ in characters which nobody sees; Windows drops dots and spaces at the end.

use unicode_normalization::UnicodeNormalization as _;

/// One component of a path in a form that is the same for all names which some file system takes for one.
pub(crate) fn folded(name: &[u8]) -> Vec<u8> {
    let mut form = Vec::with_capacity(name.len());
    if name.is_ascii() {
        form.extend(name.iter().map(u8::to_ascii_lowercase));
    } else {
        for chunk in name.utf8_chunks() {
            let seen = chunk.valid().chars().filter(|c| !is_ignored(*c));
            // Upper case first: a letter with two lower forms, such as sigma, has one upper form.
            let lower = seen
                .nfd()
                .flat_map(char::to_uppercase)
                .flat_map(char::to_lowercase);
            form.extend(lower.nfd().collect::<String>().bytes());
            form.extend_from_slice(chunk.invalid());
        }
    }
    let kept = form
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |last| last + 1);
    // A name of nothing but dots and spaces stays as it is.
    form.truncate(if kept == 0 { form.len() } else { kept });
    form
}

/// Whether some file system takes this component for `.git`: what git's own `verify_path`, `is_hfs_dotgit` and
/// `is_ntfs_dotgit` refuse. A backslash separates on Windows, and behind a colon stands the name of a stream.
pub(crate) fn is_dotgit(name: &[u8]) -> bool {
    name.split(|byte| *byte == b'\\').any(|part| {
        let part = part.split(|byte| *byte == b':').next().unwrap_or_default();
        matches!(&folded(part)[..], b".git" | b"git~1")
    })
}

/// What HFS+ leaves out when it compares names.
fn is_ignored(c: char) -> bool {
    matches!(
        c,
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_file_system_takes_for_one_have_one_form() {
        let same = [
            ("README.md", "Readme.MD"),
            ("d\u{e9}j\u{e0}", "DE\u{301}JA\u{300}"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{212a}", "k"),
            ("a\u{200d}b", "ab"),
            ("name. .", "name"),
        ];
        for (one, other) in same {
            assert_eq!(
                folded(one.as_bytes()),
                folded(other.as_bytes()),
                "{one} and {other}"
            );
        }
        for (one, other) in [
            ("a", "b"),
            ("a.b", "ab"),
            (".a", "a"),
            ("...", ".."),
            ("\u{e9}", "e"),
            ("a b", "ab"),
        ] {
            assert_ne!(
                folded(one.as_bytes()),
                folded(other.as_bytes()),
                "{one} and {other}"
            );
        }
        assert_ne!(
            folded(b"\xff"),
            folded(b"\xfe"),
            "bytes that are no text stay apart"
        );
    }

    #[test]
    fn dotgit_is_known_in_each_of_its_forms() {
        let names = [
            ".git",
            ".GIT",
            ".Git. .",
            ".git ",
            "git~1",
            "GIT~1",
            ".g\u{200c}it",
            "\u{feff}.git",
            ".git::$INDEX_ALLOCATION",
            "a\\.git",
            ".git\\config",
            "git~1.",
        ];
        for name in names {
            assert!(is_dotgit(name.as_bytes()), "{name}");
        }
        for name in [
            ".gitignore",
            ".github",
            "git",
            "git~2",
            "a.git",
            ".git-blame",
            "x:.git",
            "..git",
        ] {
            assert!(!is_dotgit(name.as_bytes()), "{name}");
        }
    }
}
