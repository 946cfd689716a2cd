//! Objects so plain that no git is needed to judge them.
//!
//! A fetch checks what comes in with fsck: names that would become `.git` on some system, entries out of order, headers that are
//! read in two ways, files that git itself reads. What passes here is narrower than all of that, and is most of what workers commit: files
//! with ordinary names, in commits as `git commit` writes them. Everything else is for git to check.

use std::collections::HashMap;

use gix::{
    ObjectId,
    bstr::ByteSlice as _,
    hash::Kind as Hash,
    objs::{
        CommitRef, Kind, TreeRef, WriteTo, compute_hash,
        tree::{EntryKind, EntryRef},
    },
};

/// One object, by its id.
pub(super) type Whole = (ObjectId, Kind, Vec<u8>);

/// Whether each of these is what its id says, is plain, and names nothing but others of these and what is there already.
pub(super) fn are_plain(objects: &[Whole], is_there: impl Fn(&ObjectId, Kind) -> bool) -> bool {
    let kinds: HashMap<_, _> = objects.iter().map(|(id, kind, _)| (*id, *kind)).collect();
    let links = |id: ObjectId, kind: Kind| {
        kinds
            .get(&id)
            .map_or_else(|| is_there(&id, kind), |known| *known == kind)
    };
    objects.iter().all(|(id, kind, data)| {
        let plain = match kind {
            Kind::Blob => true,
            Kind::Tree => is_plain_tree(data, &links),
            Kind::Commit => is_plain_commit(data, &links),
            Kind::Tag => false,
        };
        plain && compute_hash(Hash::Sha1, *kind, data).is_ok_and(|hash| hash == *id)
    })
}

fn is_plain_tree(data: &[u8], links: &impl Fn(ObjectId, Kind) -> bool) -> bool {
    let Ok(tree) = TreeRef::from_bytes(data, Hash::Sha1) else {
        return false;
    };
    let plain = |entry: &EntryRef<'_>| {
        let kind = match entry.mode.kind() {
            EntryKind::Blob | EntryKind::BlobExecutable => Kind::Blob,
            EntryKind::Tree => Kind::Tree,
            // Where a link points, and what another repository's commit is, git looks at as well.
            EntryKind::Link | EntryKind::Commit => return false,
        };
        // As git writes them, without a leading zero or bits for the group.
        let mode = entry.mode;
        matches!(
            mode.as_bytes(&mut [0; 6]).as_bytes(),
            b"100644" | b"100755" | b"40000"
        ) && is_plain_name(entry.filename)
            && links(entry.oid.to_owned(), kind)
    };
    // In order, and no name twice: not even one of a file and one of a directory, between which others may stand.
    let mut names: Vec<_> = tree.entries.iter().map(|entry| entry.filename).collect();
    names.sort_unstable();
    names.windows(2).all(|pair| pair[0] != pair[1])
        && tree.entries.is_sorted_by(|one, other| one < other)
        && tree.entries.iter().all(plain)
        && is_written_as(&tree, data)
}

/// Whether git would write an object just so: what can be read in two ways is not the same again.
fn is_written_as(object: &impl WriteTo, data: &[u8]) -> bool {
    let mut again = Vec::with_capacity(data.len());
    object.write_to(&mut again).is_ok() && again == data
}

/// Letters, digits and what is common between them. Nothing that begins as git's own files do, on any file system: with a dot and a `g`,
/// with what some systems write for that (`git~1`), or with characters that others leave out.
fn is_plain_name(name: &[u8]) -> bool {
    let usual = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+@ ,=()[]#%&!'".contains(byte);
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name.len() <= 255
        && name.iter().all(usual)
        && !matches!(name, b"." | b"..")
        && !lower.starts_with(b".g")
        && !name.ends_with(b" ")
        && !name.ends_with(b".")
}

/// `tree`, `parent`s, `author`, `committer`, each on its line and nothing else, then the message.
fn is_plain_commit(data: &[u8], links: &impl Fn(ObjectId, Kind) -> bool) -> bool {
    let Ok(commit) = CommitRef::from_bytes(data, Hash::Sha1) else {
        return false;
    };
    commit.encoding.is_none()
        && commit.extra_headers.is_empty()
        && !data.contains(&0)
        && is_plain_person(commit.author)
        && is_plain_person(commit.committer)
        && links(commit.tree(), Kind::Tree)
        && commit.parents().all(|parent| links(parent, Kind::Commit))
        && is_written_as(&commit, data)
}

/// `Name <address> 1700000000 +0100`.
fn is_plain_person(line: &[u8]) -> bool {
    let Some((name, rest)) = line.split_once_str(" <") else {
        return false;
    };
    let Some((address, time)) = rest.split_once_str("> ") else {
        return false;
    };
    let Some((seconds, zone)) = time.split_once_str(" ") else {
        return false;
    };
    let text = |text: &[u8]| {
        !text.is_empty()
            && !text
                .iter()
                .any(|byte| byte.is_ascii_control() || b"<>".contains(byte))
    };
    let digits = |text: &[u8]| text.iter().all(u8::is_ascii_digit);
    text(name)
        && text(address)
        && (1..=10).contains(&seconds.len())
        && digits(seconds)
        && (seconds.len() == 1 || seconds[0] != b'0')
        && zone.len() == 5
        && matches!(zone[0], b'+' | b'-')
        && digits(&zone[1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOB: &str = "78981922613b2afb6025042ff6bd878ac1994e85";

    fn whole(kind: Kind, data: &[u8]) -> Whole {
        (
            compute_hash(Hash::Sha1, kind, data).expect("hashes"),
            kind,
            data.to_vec(),
        )
    }

    fn tree(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let id = ObjectId::from_hex(BLOB.as_bytes()).expect("an id");
        entries
            .iter()
            .flat_map(|(mode, name)| [mode.as_bytes(), b" ", name, b"\0", id.as_bytes()].concat())
            .collect()
    }

    #[test]
    fn what_git_would_look_at_twice_is_not_plain() {
        let plain = |kind, data: &[u8]| are_plain(&[whole(kind, data)], |_, _| true);
        assert!(plain(
            Kind::Tree,
            &tree(&[("100644", b"a-b"), ("40000", b"a"), ("100755", b"a0")])
        ));
        let names: [&[u8]; 14] = [
            b".git",
            b".GIT",
            b".gitmodules",
            b".gitattributes",
            b"git~1",
            b".",
            b"..",
            b"",
            b"a/b",
            b"a\\b",
            b"a:b",
            b".git ",
            "\u{200c}.git".as_bytes(),
            b"a\n",
        ];
        for name in names {
            assert!(
                !plain(Kind::Tree, &tree(&[("100644", name)])),
                "{}",
                name.escape_ascii()
            );
        }
        let odd: [&[(&str, &[u8])]; 6] = [
            &[("100644", b"b"), ("100644", b"a")],
            &[("100644", b"a"), ("100644", b"a")],
            &[("100644", b"a"), ("100644", b"a-"), ("40000", b"a")],
            &[("040000", b"a")],
            &[("100664", b"a")],
            &[("120000", b"a")],
        ];
        for entries in odd {
            assert!(!plain(Kind::Tree, &tree(entries)), "{entries:?}");
        }
        let commit = |person: &str, more: &str| {
            format!("tree {BLOB}\nauthor {person}\ncommitter {person}\n{more}\ntext\n")
        };
        assert!(plain(
            Kind::Commit,
            commit("A B <a@b> 1700000000 +0100", "").as_bytes()
        ));
        for (person, more) in [
            ("A <a@b> 1700000000 +0100", "gpgsig x\n"),
            ("A <a@b> 1700000000 +0100", "parent 0\n"),
            ("A<a@b> 1700000000 +0100", ""),
            ("A <a<b> 1700000000 +0100", ""),
            ("A <a@b> 01700000000 +0100", ""),
            ("A <a@b> 0170 +0100", ""),
            ("A <a@b> 17 0100", ""),
            ("A <a@b> 99999999999999999999 +0100", ""),
            ("A <a@b> 17", ""),
        ] {
            assert!(
                !plain(Kind::Commit, commit(person, more).as_bytes()),
                "{person} {more}"
            );
        }
        assert!(!plain(
            Kind::Commit,
            commit("A <a@b> 17 +0100", "")
                .replace("text", "te\0xt")
                .as_bytes()
        ));
    }

    #[test]
    fn what_is_not_what_it_says_or_names_what_is_not_there_is_not_plain() {
        let (one, other) = (whole(Kind::Blob, b"one"), whole(Kind::Blob, b"other"));
        assert!(are_plain(&[one.clone(), other.clone()], |_, _| false));
        assert!(!are_plain(&[(one.0, Kind::Blob, other.2)], |_, _| true));
        let tree = whole(Kind::Tree, &tree(&[("100644", b"a")]));
        let blob = ObjectId::from_hex(BLOB.as_bytes()).expect("an id");
        assert!(!are_plain(std::slice::from_ref(&tree), |_, _| false));
        assert!(are_plain(std::slice::from_ref(&tree), |id, kind| kind
            == Kind::Blob
            && *id == blob));
        assert!(!are_plain(&[tree], |_, kind| kind == Kind::Tree));
    }
}
