//! A handoff in an agent's last words, for agents that cannot be made to write a file or to answer by a schema.

use serde::de::IgnoredAny;

/// The JSON object in what an agent said last: all of it, or the last fenced block that is one, or else the text from the last line
/// that begins with a brace. `None` where there is none. Whether it is a handoff is for its reader to say.
#[must_use]
pub fn handoff_in(text: &str) -> Option<&str> {
    let object =
        |part: &str| part.starts_with('{') && serde_json::from_str::<IgnoredAny>(part).is_ok();
    let whole = text.trim();
    if object(whole) {
        return Some(whole);
    }
    // Between every two fences, the last ones first: a block's language stands on the fence's own line.
    let fences: Vec<_> = text.match_indices("```").map(|(at, _)| at).collect();
    let blocks = fences.windows(2).rev().filter_map(|pair| {
        let (_, block) = text[pair[0] + 3..pair[1]].split_once('\n')?;
        Some(block.trim())
    });
    let open = whole
        .match_indices('{')
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || whole[..*at].ends_with('\n'));
    let open: Vec<_> = open.collect();
    blocks
        .chain(open.into_iter().rev().map(|at| whole[at..].trim()))
        .find(|part| object(part))
}

#[cfg(test)]
mod tests {
    use super::handoff_in;

    #[test]
    fn the_last_object_is_found() {
        let json = r#"{"status":"done"}"#;
        for text in [
            json.to_owned(),
            format!("\n {json} \n"),
            format!("Done.\n```json\n{json}\n```"),
            format!(
                "Before:\n```json\n{{\"status\":\"failed\"}}\n```\nand now\n```\n{json}\n```\nThat is all."
            ),
            format!("I ran ``` and then\n```json\n{json}\n```"),
            format!("Done:\n{json}"),
        ] {
            assert_eq!(handoff_in(&text), Some(json), "{text}");
        }
        for text in [
            "",
            "done",
            "```json\n[1]\n```",
            "{\"half\":",
            "it is {\"inline\": 1} here",
        ] {
            assert_eq!(handoff_in(text), None, "{text}");
        }
    }
}
