//! Quotes from a fortune file: texts with a line `%` between them. Is given the text, and chooses with the reactor's
//! entropy, so that a simulation repeats itself.

use crate::quoter::Quoter;
use std::cell::{Cell, RefCell};
use tress::{Failure, Reactor, Result, WeakReactor};

/// Says one of the quotes of a file.
#[derive(Debug)]
pub struct FortuneQuoter {
    /// Not the reactor itself: that keeps whatever it serves.
    reactor: WeakReactor,
    quotes: RefCell<Vec<String>>,
    last: Cell<usize>,
}

impl FortuneQuoter {
    /// Knows no quote yet.
    #[must_use]
    pub fn new(reactor: &Reactor) -> Self {
        Self {
            reactor: reactor.downgrade(),
            quotes: RefCell::default(),
            last: Cell::new(usize::MAX),
        }
    }

    /// Takes the quotes of this text instead of those it knew.
    ///
    /// # Errors
    /// There is none in it; then it goes on with those it knew.
    pub fn learn(&self, text: &str) -> Result {
        let quotes = quotes(text);
        if quotes.is_empty() {
            return Err(Failure::msg(
                "no quote in it: expected texts with lines `%` between them",
            ));
        }
        self.quotes.replace(quotes);
        Ok(())
    }

    /// One of them; the last one again only when there is no other.
    fn choose(&self) -> Result<String> {
        let quotes = self.quotes.borrow();
        let number = u64::try_from(quotes.len()).unwrap_or(u64::MAX);
        let entropy = self.reactor.upgrade().map(|reactor| reactor.entropy());
        let mut chosen = entropy.and_then(|entropy| entropy.checked_rem(number));
        if chosen == u64::try_from(self.last.get()).ok() {
            chosen = chosen.map(|chosen| (chosen + 1) % number);
        }
        let chosen = chosen.and_then(|chosen| usize::try_from(chosen).ok());
        let quote = chosen.and_then(|chosen| quotes.get(chosen));
        self.last.set(chosen.unwrap_or(usize::MAX));
        quote
            .cloned()
            .ok_or_else(|| Failure::msg("it knows no quote"))
    }
}

impl Quoter for FortuneQuoter {
    async fn quote(&self) -> Result<String> {
        self.choose()
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        (0..count).map(|_| self.choose()).collect()
    }
}

/// The texts between lines that are `%`, without the ends of their last lines.
fn quotes(text: &str) -> Vec<String> {
    let mut quotes = vec![String::new()];
    for line in text.lines() {
        match (line, quotes.last_mut()) {
            ("%", _) | (_, None) => quotes.push(String::new()),
            (line, Some(quote)) => {
                quote.push_str(line);
                quote.push('\n');
            }
        }
    }
    let trimmed = quotes.iter().map(|quote| quote.trim_end().to_owned());
    trimmed.filter(|quote| !quote.is_empty()).collect()
}
