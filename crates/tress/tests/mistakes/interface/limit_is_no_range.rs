//! A limit that is a number and no range.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quotes(&self, #[limit(1000)] count: u32) -> Result<Vec<String>>;
}

fn main() {}
