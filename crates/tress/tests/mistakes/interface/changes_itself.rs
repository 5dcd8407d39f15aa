//! `&mut self`: an object is called by several at once.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&mut self) -> Result<String>;
}

fn main() {}
