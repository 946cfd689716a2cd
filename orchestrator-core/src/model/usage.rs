//! What turns use: tokens and money, by model. What is not known is said to be unknown, and is never 0.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What one model was used for, or a sum of that.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Usage {
    /// Tokens read, cached ones included.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
    /// US dollars; `None` where the agent does not say what it costs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<f64>,
}

impl Usage {
    /// So many tokens, at a price that is not known.
    #[must_use]
    pub const fn tokens_alone(input_tokens: u64, output_tokens: u64) -> Self {
        Self {
            input_tokens,
            output_tokens,
            usd: None,
        }
    }

    /// Both kinds of tokens.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.input_tokens.saturating_add(self.output_tokens)
    }

    /// This without that; never less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_sub(other.input_tokens),
            output_tokens: self.output_tokens.saturating_sub(other.output_tokens),
            usd: self
                .usd
                .map(|usd| (usd - other.usd.unwrap_or(0.0)).max(0.0)),
        }
    }

    /// This and that together; the money is the part that is known.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input_tokens: self.input_tokens.saturating_add(other.input_tokens),
            output_tokens: self.output_tokens.saturating_add(other.output_tokens),
            usd: match (self.usd, other.usd) {
                (Some(one), Some(two)) => Some(one + two),
                (one, two) => one.or(two),
            },
        }
    }

    fn divided_by(self, parts: u32) -> Self {
        Self {
            input_tokens: self.input_tokens.checked_div(parts.into()).unwrap_or(0),
            output_tokens: self.output_tokens.checked_div(parts.into()).unwrap_or(0),
            usd: self
                .usd
                .filter(|_| parts > 0)
                .map(|usd| usd / f64::from(parts)),
        }
    }

    /// Whether nothing was used.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.tokens() == 0 && self.usd.is_none_or(|usd| usd == 0.0)
    }
}

/// Usage by the name of the model; the empty name where the agent does not say which it is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct ModelUsage(BTreeMap<String, Usage>);

impl ModelUsage {
    /// Adds what a model was used for.
    pub fn add(&mut self, model: &str, usage: Usage) {
        let known = self.0.entry(model.to_owned()).or_default();
        *known = known.plus(usage);
    }

    /// All models together.
    #[must_use]
    pub fn total(&self) -> Usage {
        self.0.values().copied().fold(Usage::default(), Usage::plus)
    }

    /// This and that together.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (model, usage) in &other.0 {
            self.add(model, *usage);
        }
        self
    }

    /// This without that; never less than nothing. What that has of models which are not here is taken
    /// from the others: the same use may be known with and without the name of its model. Models of
    /// which nothing is left are gone.
    #[must_use]
    pub fn minus(mut self, other: &Self) -> Self {
        let mut rest = Usage::default();
        for (model, usage) in &other.0 {
            let of_model = self.0.get(model).copied().unwrap_or_default();
            rest = rest.plus(usage.minus(of_model));
            if let Some(left) = self.0.get_mut(model) {
                *left = of_model.minus(*usage);
            }
        }
        for left in self.0.values_mut() {
            let before = *left;
            *left = before.minus(rest);
            rest = rest.minus(before);
        }
        self.0.retain(|_, usage| !usage.is_nothing());
        self
    }

    /// Each model with its usage, in the order of names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Usage)> {
        self.0.iter().map(|(model, usage)| (model.as_str(), *usage))
    }

    /// Whether no model was used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// As the agent says.
impl<U: Into<ModelUsage>> From<U> for TurnUsage {
    fn from(usage: U) -> Self {
        Self::told(usage)
    }
}

/// Of a model that is not named.
impl From<Usage> for ModelUsage {
    fn from(usage: Usage) -> Self {
        Self(BTreeMap::from([(String::new(), usage)]))
    }
}

impl<S: Into<String>> FromIterator<(S, Usage)> for ModelUsage {
    fn from_iter<T: IntoIterator<Item = (S, Usage)>>(models: T) -> Self {
        let mut sum = Self::default();
        for (model, usage) in models {
            sum.add(&model.into(), usage);
        }
        sum
    }
}

/// From where it is known what a turn has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UsageSource {
    /// The agent says so.
    #[default]
    Protocol,
    /// From the files in which the agent keeps its sessions, since the turn was cut off before it said so.
    SessionFile,
}

/// What a turn has used, as far as that is known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TurnUsage {
    /// What the turn has used; `None` where nothing is known of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub turn: Option<ModelUsage>,
    /// From where that is known.
    pub source: UsageSource,
    /// Whether more may have been used than anybody will know: the agent was killed, or does not count
    /// agents of its own.
    pub incomplete: bool,
    /// What earlier turns of the session have used beyond what was known of them; `None` where that
    /// cannot be said. With it, they are known, but for those that were incomplete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub earlier: Option<ModelUsage>,
}

impl TurnUsage {
    /// As the agent says.
    #[must_use]
    pub fn told(turn: impl Into<ModelUsage>) -> Self {
        Self {
            turn: Some(turn.into()),
            ..Self::default()
        }
    }

    /// Of a turn that was not begun.
    #[must_use]
    pub fn nothing() -> Self {
        Self::told(ModelUsage::default())
    }

    /// Of a turn that was killed before anybody heard what it had used.
    #[must_use]
    pub fn lost() -> Self {
        Self {
            incomplete: true,
            ..Self::default()
        }
    }

    /// What is known to be used, earlier turns included.
    #[must_use]
    pub fn known(&self) -> Usage {
        let parts = self.turn.iter().chain(&self.earlier);
        parts
            .map(ModelUsage::total)
            .fold(Usage::default(), Usage::plus)
    }
}

/// What is known of a session that is gone on with: the sum of what its turns have used so far.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct SessionUsage {
    /// As the agent has said.
    pub told: ModelUsage,
    /// As its files have said.
    pub read: ModelUsage,
    /// Turns of which it is not known, and may be known later.
    pub unknown: u32,
    /// Turns of which not all will be known.
    pub lost: u32,
}

impl SessionUsage {
    /// All that is known.
    #[must_use]
    pub fn known(&self) -> ModelUsage {
        self.told.clone().plus(&self.read)
    }

    /// The session has one more turn.
    pub fn add(&mut self, usage: &TurnUsage) {
        if let Some(earlier) = &usage.earlier {
            self.unknown = 0;
            self.read = std::mem::take(&mut self.read).plus(earlier);
        }
        self.lost += u32::from(usage.incomplete);
        match &usage.turn {
            None => self.unknown += u32::from(!usage.incomplete),
            Some(turn) => {
                let sum = match usage.source {
                    UsageSource::Protocol => &mut self.told,
                    UsageSource::SessionFile => &mut self.read,
                };
                *sum = std::mem::take(sum).plus(turn);
            }
        }
    }
}

/// What several turns have used, and how much of that is not known.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Spend {
    /// What is known.
    pub models: ModelUsage,
    /// Turns of which it is not known, or not all of it.
    pub unknown: u32,
    /// Turns whose tokens are known and whose price is not.
    pub unpriced: u32,
    /// Turns of which it is known from the agent's session files alone.
    pub from_files: u32,
}

impl Spend {
    /// Of one model, as a part of a sum.
    #[must_use]
    pub fn of_model(model: &str, usage: Usage) -> Self {
        Self {
            models: ModelUsage::from_iter([(model, usage)]),
            unpriced: u32::from(usage.usd.is_none()),
            ..Self::default()
        }
    }

    /// One turn more; `settled` earlier turns that were not known are known with it.
    pub fn add(&mut self, usage: &TurnUsage, settled: u32) {
        self.unknown = self.unknown.saturating_sub(settled);
        for part in usage.turn.iter().chain(&usage.earlier) {
            self.models = std::mem::take(&mut self.models).plus(part);
        }
        let Some(turn) = &usage.turn else {
            self.unknown += 1;
            return;
        };
        self.unknown += u32::from(usage.incomplete);
        let unpriced = turn
            .iter()
            .any(|(_, usage)| usage.usd.is_none() && usage.tokens() > 0);
        self.unpriced += u32::from(unpriced);
        self.from_files += u32::from(usage.source == UsageSource::SessionFile);
    }

    /// This and that together.
    #[must_use]
    pub fn plus(self, other: &Self) -> Self {
        Self {
            models: self.models.plus(&other.models),
            unknown: self.unknown.saturating_add(other.unknown),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            from_files: self.from_files.saturating_add(other.from_files),
        }
    }

    /// A part for each of so many things; nothing where there are none.
    #[must_use]
    pub fn for_each(&self, of: u32) -> Self {
        let models = self.models.iter();
        let parts = models.map(|(model, usage)| (model, usage.divided_by(of)));
        Self {
            models: parts.collect(),
            ..self.clone()
        }
    }

    /// What is known, over all models.
    #[must_use]
    pub fn total(&self) -> Usage {
        self.models.total()
    }

    /// The tokens, for people: `1,234 tokens`, `at least 1,234 tokens`, `unknown`.
    #[must_use]
    pub fn tokens_text(&self) -> String {
        let tokens = self.total().tokens();
        match (tokens, self.unknown) {
            (0, 1..) => "unknown".to_owned(),
            (_, 0) => format!("{} tokens", grouped(tokens)),
            (_, 1..) => format!("at least {} tokens", grouped(tokens)),
        }
    }

    /// The money, for people: `0.0042 USD`, `at least 0.0042 USD`, `unknown`.
    #[must_use]
    pub fn money_text(&self) -> String {
        let lacking = self.unknown + self.unpriced > 0;
        match self.total().usd {
            Some(usd) if lacking && usd > 0.0 => format!("at least {}", dollars(usd)),
            None | Some(_) if lacking => "unknown".to_owned(),
            usd => dollars(usd.unwrap_or(0.0)),
        }
    }
}

/// Tokens and money, for people: `1,234 tokens, 0.0042 USD`, with what is not known.
impl std::fmt::Display for Spend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.tokens_text(), self.money_text()) {
            (tokens, money) if tokens == money => {
                f.write_str("tokens and money unknown")?;
            }
            (tokens, money) if money == "unknown" => write!(f, "{tokens}, money unknown")?,
            (tokens, money) if tokens == "unknown" => write!(f, "tokens unknown, {money}")?,
            (tokens, money) => write!(f, "{tokens}, {money}")?,
        }
        if self.from_files > 0 {
            f.write_str(" (in part from the agent's session files)")?;
        }
        Ok(())
    }
}

/// An amount of money, for people: two decimals, and for less than one dollar as many as three significant digits need.
#[must_use]
pub fn dollars(usd: f64) -> String {
    if usd >= 1.0 || usd <= 0.0 {
        return format!("{:.2} USD", usd.max(0.0));
    }
    let mut decimals = 3;
    while decimals < 12 && usd * 10_f64.powi(decimals) < 99.5 {
        decimals += 1;
    }
    let decimals = usize::try_from(decimals).unwrap_or(3);
    let digits = format!("{usd:.decimals$}");
    let shortest = digits.trim_end_matches('0');
    let shortest = &digits[..shortest.len().max("0.00".len())];
    format!("{shortest} USD")
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priced(input_tokens: u64, output_tokens: u64, usd: f64) -> Usage {
        Usage {
            input_tokens,
            output_tokens,
            usd: Some(usd),
        }
    }

    #[test]
    fn dollars_keep_small_amounts() {
        let said: Vec<_> = [
            0.0, 0.00000123, 0.00225, 0.0255, 0.5, 0.999, 1.0, 2.254, 1234.5,
        ]
        .map(dollars)
        .into();
        let expected = [
            "0.00 USD",
            "0.00000123 USD",
            "0.00225 USD",
            "0.0255 USD",
            "0.50 USD",
            "0.999 USD",
            "1.00 USD",
            "2.25 USD",
            "1234.50 USD",
        ];
        assert_eq!(said, expected);
    }

    #[test]
    fn spend_says_what_is_not_known() {
        let unknown = TurnUsage::default();
        let free = TurnUsage::told(Usage::tokens_alone(1000, 234));
        let paid = TurnUsage::told(priced(10, 2, 0.0042));
        let sum = |turns: &[&TurnUsage]| {
            let mut spend = Spend::default();
            turns.iter().for_each(|turn| spend.add(turn, 0));
            spend.to_string()
        };
        assert_eq!(sum(&[]), "0 tokens, 0.00 USD");
        assert_eq!(sum(&[&unknown]), "tokens and money unknown");
        assert_eq!(sum(&[&free]), "1,234 tokens, money unknown");
        assert_eq!(sum(&[&paid]), "12 tokens, 0.0042 USD");
        assert_eq!(sum(&[&paid, &free]), "1,246 tokens, at least 0.0042 USD");
        assert_eq!(
            sum(&[&paid, &unknown]),
            "at least 12 tokens, at least 0.0042 USD"
        );
    }

    #[test]
    fn minus_takes_use_without_a_name_from_any_model() {
        let usage = |models: &[(&str, u64)]| {
            let models = models.iter();
            models
                .map(|(model, tokens)| (*model, Usage::tokens_alone(*tokens, 0)))
                .collect::<ModelUsage>()
        };
        let all = usage(&[("big", 100), ("small", 20)]);
        let minus = |other: &[(&str, u64)]| all.clone().minus(&usage(other));
        assert_eq!(minus(&[("", 100)]), usage(&[("small", 20)]));
        assert_eq!(minus(&[("big", 70), ("", 40)]), usage(&[("small", 10)]));
        assert_eq!(minus(&[("small", 30)]), usage(&[("big", 90)]));
        assert_eq!(minus(&[("other", 500)]), usage(&[]));
    }

    #[test]
    fn a_session_settles_what_was_not_known_of_it() {
        let mut session = SessionUsage::default();
        session.add(&TurnUsage::told(Usage::tokens_alone(10, 1)));
        session.add(&TurnUsage::default());
        assert_eq!(session.unknown, 1);
        let later = TurnUsage {
            earlier: Some(Usage::tokens_alone(5, 0).into()),
            ..TurnUsage::told(Usage::tokens_alone(100, 10))
        };
        let mut spend = Spend {
            unknown: 1,
            ..Spend::default()
        };
        spend.add(&later, session.unknown);
        session.add(&later);
        assert_eq!((session.unknown, spend.unknown), (0, 0));
        assert_eq!(session.known().total(), Usage::tokens_alone(115, 11));
        assert_eq!(spend.total(), Usage::tokens_alone(105, 10));
    }
}
