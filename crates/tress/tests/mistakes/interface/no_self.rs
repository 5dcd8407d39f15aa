//! A method without an object.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(count: u32) -> Result<String>;
}

fn main() {}
