//! An argument without a name.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quotes(&self, (a, b): (u8, u8)) -> Result<String>;
}

fn main() {}
