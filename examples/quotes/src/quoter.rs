//! What a quoter offers, and the simplest one. Knows no protocol and no file.

use tress::{Result, interface};

/// Says something worth remembering.
#[interface]
pub trait Quoter {
    /// One quote.
    async fn quote(&self) -> Result<String>;

    /// That many quotes.
    async fn quotes(&self, #[limit(1..=1000)] count: u32) -> Result<Vec<String>>;
}

/// Says the same each time.
#[derive(Debug)]
pub struct StaticQuoter(String);

impl StaticQuoter {
    /// Says this.
    pub fn new(quote: impl Into<String>) -> Self {
        Self(quote.into())
    }
}

impl Quoter for StaticQuoter {
    async fn quote(&self) -> Result<String> {
        Ok(self.0.clone())
    }

    async fn quotes(&self, count: u32) -> Result<Vec<String>> {
        Ok((0..count).map(|_| self.0.clone()).collect())
    }
}
