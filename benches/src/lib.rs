//! Timing side by side: each figure beside its rival, in the same run, as medians and ratios.

use std::time::{Duration, Instant};

/// The size of something, or how often it is timed, and another for a quick look (`cargo bench -p benches -- --quick`).
#[must_use]
pub fn sized<T>(whole: T, quick: T) -> T {
    if std::env::args().any(|argument| argument == "--quick") {
        quick
    } else {
        whole
    }
}

/// Times one run of something.
pub fn time(work: impl FnOnce()) -> Duration {
    let began = Instant::now();
    work();
    began.elapsed()
}

/// The middle one.
#[must_use]
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// Times two things in turn, each so often, so that both meet the same noise, and returns the median of each.
pub fn side_by_side(
    rounds: usize,
    mut ours: impl FnMut() -> Duration,
    mut rival: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let mut times = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // Who comes second may find the way paved, or in ruins.
        if round.is_multiple_of(2) {
            times.0.push(ours());
            times.1.push(rival());
        } else {
            times.1.push(rival());
            times.0.push(ours());
        }
    }
    (median(times.0), median(times.1))
}

/// Prints one line of the table.
pub fn line(figure: &str, ours: Duration, beside: &str, rival: Duration) {
    let millis = |time: Duration| format!("{:.3} ms", time.as_secs_f64() * 1000.0);
    let ratio = ours.as_secs_f64() / rival.as_secs_f64().max(f64::EPSILON);
    println!(
        "{figure:<44} {:>12}   {beside:<36} {:>12}   ratio {ratio:>8.4}",
        millis(ours),
        millis(rival)
    );
}

/// Prints one line of the table for what is held against a figure, and not against a rival.
pub fn floor(figure: &str, ours: Duration, wanted: Duration) {
    let micros = |time: Duration| format!("{:.3} µs", time.as_secs_f64() * 1e6);
    let ratio = ours.as_secs_f64() / wanted.as_secs_f64().max(f64::EPSILON);
    println!(
        "{figure:<44} {:>12}   {:<36} {:>12}   ratio {ratio:>8.4}",
        micros(ours),
        "what is wanted",
        micros(wanted)
    );
}
