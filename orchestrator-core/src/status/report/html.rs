//! The page as HTML that stands alone: no script, nothing loaded from anywhere, readable in light and dark.

use std::fmt::Write as _;

use super::{
    page::Block,
    timeline::{KINDS, Timeline, word},
};
use crate::status::PhaseKind;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:light-dark(#1b1f24,#e4e7eb);--soft:light-dark(#5b6570,#9aa5b1);--line:light-dark(#d9dee3,#39424c);\
--ground:light-dark(#fff,#14181c);--preparing:#aab4be;--working:#3b82c4;--reviewing:#8b6fc0;--landing:#3a9a6b;--asking:#d9902f}\
body{margin:2.5rem auto;padding:0 1.25rem;max-width:62rem;background:var(--ground);color:var(--ink);font:16px/1.55 system-ui,sans-serif}\
h1{font-size:1.6rem;margin-bottom:.3rem}h2{font-size:1.2rem;margin:2.4rem 0 .6rem;padding-bottom:.25rem;border-bottom:1px solid var(--line)}\
h3{font-size:1.02rem;margin:1.4rem 0 .3rem}.lead{font-size:1.1rem}p{margin:.45rem 0}ul{margin:.3rem 0;padding-left:1.3rem}\
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem;margin:.4rem 0}dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}\
li{overflow-wrap:anywhere}pre{padding:.6rem .8rem;border:1px solid var(--line);border-radius:6px;overflow-x:auto;font-size:.86rem;white-space:pre-wrap}\
code{font-size:.9em}figure{margin:1rem 0;overflow-x:auto}svg{width:100%;min-width:40rem;height:auto}\
svg text{fill:var(--ink);font:12px system-ui,sans-serif}svg .soft{fill:var(--soft)}svg line{stroke:var(--line)}svg .mark{stroke:var(--asking);stroke-dasharray:3 3}";

pub(super) fn render(page: &[Block]) -> String {
    let title = page.iter().find_map(|block| {
        if let Block::Title(title) = block {
            Some(escaped(title))
        } else {
            None
        }
    });
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{}</title>\n<style>{STYLE}</style></head><body>\n",
        title.unwrap_or_default()
    );
    for block in page {
        let _ = match block {
            Block::Title(title) => writeln!(html, "<h1>{}</h1>", escaped(title)),
            Block::Lead(lead) => writeln!(html, "<p class=\"lead\">{}</p>", escaped(lead)),
            Block::Section(title) => writeln!(html, "<h2>{}</h2>", escaped(title)),
            Block::Entry(title) => writeln!(html, "<h3>{}</h3>", escaped(title)),
            Block::Paragraph(words) => writeln!(html, "<p>{}</p>", inline(words)),
            Block::Facts(facts) => {
                let rows = facts.iter().map(|[name, value]| {
                    format!("<dt>{}</dt><dd>{}</dd>", escaped(name), inline(value))
                });
                writeln!(html, "<dl>{}</dl>", rows.collect::<String>())
            }
            Block::List(items) if items.is_empty() => Ok(()),
            Block::List(items) => {
                let items = items
                    .iter()
                    .map(|item| format!("<li>{}</li>", inline(item)));
                writeln!(html, "<ul>{}</ul>", items.collect::<String>())
            }
            Block::Printed(text) => writeln!(html, "<pre>{}</pre>", escaped(text)),
            Block::Timeline(timeline) => writeln!(html, "<figure>{}</figure>", drawn(timeline)),
        };
    }
    html.push_str("</body></html>\n");
    html
}

fn escaped(text: &str) -> String {
    let mut safe = String::new();
    for c in crate::model::clean(text).chars() {
        match c {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

/// What stands between backticks is code.
fn inline(text: &str) -> String {
    let parts: Vec<_> = text.split('`').collect();
    let pairs = parts.len() % 2 == 1;
    let mut html = String::new();
    for (at, part) in parts.iter().enumerate() {
        let _ = match (pairs, at % 2) {
            (true, 1) => write!(html, "<code>{}</code>", escaped(part)),
            (true, _) => write!(html, "{}", escaped(part)),
            (false, _) => write!(html, "{}{}", if at > 0 { "`" } else { "" }, escaped(part)),
        };
    }
    html
}

fn class(what: PhaseKind) -> &'static str {
    match what {
        PhaseKind::Preparing => "preparing",
        PhaseKind::Working => "working",
        PhaseKind::Reviewing => "reviewing",
        PhaseKind::Landing => "landing",
        PhaseKind::Asking => "asking",
    }
}

/// Widths of the picture's parts: names, bars, and the words behind them; and the height of a row.
const NAMES: f64 = 130.0;
const BARS: f64 = 720.0;
const ENDS: f64 = 120.0;
const ROW: f64 = 26.0;

fn drawn(timeline: &Timeline) -> String {
    let x = |place: f64| NAMES + place * BARS;
    #[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
    let y = |row: usize| 30.0 + row as f64 * ROW;
    let bottom = y(timeline.rows.len());
    let mut svg = format!(
        "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Timeline: one row for each attempt\">",
        NAMES + BARS + ENDS,
        bottom + 34.0
    );
    for (at, label) in &timeline.ticks {
        let at = x(timeline.at(*at));
        let _ = write!(
            svg,
            "<line x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"20\" y2=\"{bottom}\"/>"
        );
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{at:.1}\" y=\"14\" text-anchor=\"middle\">{}</text>",
            escaped(label)
        );
    }
    for (number, row) in timeline.rows.iter().enumerate() {
        let top = y(number);
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
            NAMES - 10.0,
            top + 15.0,
            escaped(&row.name)
        );
        let mut end = NAMES;
        for bar in &row.bars {
            let (from, to) = (x(timeline.at(bar.from)), x(timeline.at(bar.to)));
            // What took no time at all was done all the same.
            let width = (to - from).max(1.5);
            end = f64::max(end, from + width);
            let _ = write!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{}\" width=\"{width:.1}\" height=\"{}\" rx=\"2\" fill=\"var(--{})\"><title>{}</title></rect>",
                top + 3.0,
                ROW - 8.0,
                class(bar.what),
                escaped(&bar.note)
            );
        }
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{:.1}\" y=\"{}\">{}</text>",
            end + 7.0,
            top + 15.0,
            escaped(row.end)
        );
    }
    for (at, what) in &timeline.marks {
        let at = x(timeline.at(*at));
        let _ = write!(
            svg,
            "<line class=\"mark\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"20\" y2=\"{bottom}\"><title>{}</title></line>",
            escaped(what)
        );
    }
    let mut left = NAMES;
    for kind in KINDS {
        let name = word(kind).0;
        let _ = write!(
            svg,
            "<rect x=\"{left}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"var(--{})\"/>",
            bottom + 14.0,
            class(kind)
        );
        let _ = write!(
            svg,
            "<text class=\"soft\" x=\"{}\" y=\"{}\">{name}</text>",
            left + 18.0,
            bottom + 24.0
        );
        #[expect(clippy::cast_precision_loss, reason = "a place on a picture")]
        let wide = name.len() as f64;
        left += 44.0 + wide * 6.6;
    }
    svg.push_str("</svg>");
    svg
}
