//! Addresses of submodules that are given relative to another one.

/// An address as `.gitmodules` has it, made absolute as git does it (gitsubmodules(7)); `None` where there is nothing that it is
/// relative to.
pub(super) fn resolved(base: Option<&str>, url: &str) -> Option<String> {
    if !(url.starts_with("./") || url.starts_with("../")) {
        return Some(url.to_owned());
    }
    let mut base = base?.trim_end_matches('/').to_owned();
    let mut rest = url;
    loop {
        if let Some(beneath) = rest.strip_prefix("./") {
            rest = beneath;
        } else if let Some(beside) = rest.strip_prefix("../") {
            // Of an address such as `host:path`, the colon is where a path begins.
            let cut = base.rfind(['/', ':'])?;
            let keeps_colon = base.as_bytes()[cut] == b':';
            base.truncate(cut + usize::from(keeps_colon));
            rest = beside;
        } else {
            break;
        }
    }
    let rest = rest.trim_end_matches('/');
    if base.ends_with(':') || rest.is_empty() {
        Some(format!("{base}{rest}"))
    } else {
        Some(format!("{base}/{rest}"))
    }
}

/// Whether git takes an address for a path: it has no scheme, and no colon before its first slash.
pub(super) fn is_path(url: &str) -> bool {
    !url.contains("://") && !url.split('/').next().unwrap_or_default().contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_resolved_as_git_resolves_them() {
        let cases = [
            ("https://host/a/b.git", "../c.git", "https://host/a/c.git"),
            ("https://host/a/b.git/", "../../d/c", "https://host/d/c"),
            ("git@host:a/b.git", "../c.git", "git@host:a/c.git"),
            ("git@host:b.git", "../c.git", "git@host:c.git"),
            ("/srv/b", "../c/", "/srv/c"),
            ("/srv/b", "./c", "/srv/b/c"),
            ("/srv/b", "https://host/c", "https://host/c"),
            ("/srv/b", "/srv/c", "/srv/c"),
        ];
        for (base, url, absolute) in cases {
            assert_eq!(
                resolved(Some(base), url).as_deref(),
                Some(absolute),
                "{base} {url}"
            );
        }
        assert_eq!(resolved(None, "../c"), None);
    }
}
