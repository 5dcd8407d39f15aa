//! A default body: that belongs to who implements the trait.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&self) -> Result<String> {
        Ok(String::new())
    }
}

fn main() {}
