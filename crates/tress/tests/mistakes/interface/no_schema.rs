//! A type that cannot be read, written or described.

use tress::{Result, interface};

struct Own;

#[interface]
trait Quoter {
    async fn keep(&self, it: Own) -> Result;
}

fn main() {}
