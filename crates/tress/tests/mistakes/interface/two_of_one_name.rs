//! Two methods that are called the same on the wire.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&self) -> Result<String>;
    #[name = "quote"]
    async fn one(&self) -> Result<String>;
}

fn main() {}
