//! An argument is borrowed: it could not cross a wire.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn find(&self, text: &str) -> Result<String>;
}

fn main() {}
