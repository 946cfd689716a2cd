//! Text for people that is too long: cut between lines, with a mark that says how much is missing.

/// The end of a text, of at most `most` characters: whole lines, after a mark such as
/// `[... 120 lines left out ...]`. A last line that is longer by itself is cut in its middle. Marks are not counted.
#[must_use]
pub fn end_of(text: &str, most: usize) -> String {
    end_after(text, most, 0)
}

/// The same for a text before which `before` lines are missing already.
pub(crate) fn end_after(text: &str, most: usize, before: u64) -> String {
    let text = text.trim_end();
    let lines: Vec<&str> = text.lines().collect();
    let fitting = fitting(lines.iter().rev(), most);
    let Some(last) = lines.last().filter(|_| fitting == 0) else {
        let skipped = lines.len() - fitting;
        return with_mark_before(lines[skipped..].join("\n").trim(), before + skipped as u64);
    };
    with_mark_before(&shortened(last, most), before + lines.len() as u64 - 1)
}

/// The beginning of a text, of at most `most` characters: whole lines, before a mark. A first line that is longer by
/// itself is cut in its middle.
#[must_use]
pub fn start_of(text: &str, most: usize) -> String {
    let text = text.trim_end();
    let lines: Vec<&str> = text.lines().collect();
    let fitting = fitting(lines.iter(), most);
    let (kept, shown) = match lines.first().filter(|_| fitting == 0) {
        Some(first) => (shortened(first, most), 1),
        None => (lines[..fitting].join("\n"), fitting),
    };
    match lines.len() - shown {
        0 => kept,
        skipped => format!("{kept}\n{}", lines_left_out(skipped as u64)),
    }
}

/// One line of at most `most` characters: what is too long is cut in its middle, between words where there are any.
#[must_use]
pub fn shortened(line: &str, most: usize) -> String {
    let length = line.chars().count();
    if length <= most {
        return line.to_owned();
    }
    let begin: String = line.chars().take(most / 2).collect();
    let end: String = line.chars().skip(length - (most - most / 2)).collect();
    let begin = match begin.rsplit_once(' ') {
        Some((whole, part)) if part.len() < begin.len() / 2 => whole,
        _ => &begin,
    };
    let end = match end.split_once(' ') {
        Some((part, whole)) if part.len() < end.len() / 2 => whole,
        _ => &end,
    };
    let skipped = length - begin.chars().count() - end.chars().count();
    format!("{begin} [... {skipped} characters left out ...] {end}")
}

/// How many of these lines have at most `most` characters together.
fn fitting<'a>(lines: impl Iterator<Item = &'a &'a str>, most: usize) -> usize {
    let mut used = 0;
    lines
        .take_while(|line| {
            used += line.chars().count() + 1;
            used <= most + 1
        })
        .count()
}

fn with_mark_before(text: &str, skipped: u64) -> String {
    match skipped {
        0 => text.to_owned(),
        skipped => format!("{}\n{text}", lines_left_out(skipped)),
    }
}

fn lines_left_out(lines: u64) -> String {
    let plural = if lines == 1 { "" } else { "s" };
    format!("[... {lines} line{plural} left out ...]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn end_is_cut_between_lines() {
        let text = "first line\nsecond line\nthird line\n";
        assert_eq!(end_of(text, 100), "first line\nsecond line\nthird line");
        assert_eq!(
            end_of(text, 22),
            "[... 1 line left out ...]\nsecond line\nthird line"
        );
        assert_eq!(end_of(text, 21), "[... 2 lines left out ...]\nthird line");
        assert_eq!(end_after("b\nc", 1, 40), "[... 41 lines left out ...]\nc");
        assert_eq!(end_of("", 5), "");
    }

    #[test]
    fn start_is_cut_between_lines() {
        let text = "first line\nsecond line\nthird line\n";
        assert_eq!(start_of(text, 12), "first line\n[... 2 lines left out ...]");
        assert_eq!(start_of(text, 100), text.trim_end());
        assert_eq!(start_of("", 5), "");
    }

    #[test]
    fn long_line_is_cut_in_its_middle_and_between_words() {
        assert_eq!(
            shortened("one two three four five six", 16),
            "one two [... 12 characters left out ...] five six"
        );
        let greek = "αβγδεζηθικ".repeat(10);
        assert_eq!(
            end_of(&greek, 10),
            "αβγδε [... 90 characters left out ...] ζηθικ"
        );
    }
}
