//! A method that is not async.

use tress::{Result, interface};

#[interface]
trait Quoter {
    fn quote(&self) -> Result<String>;
}

fn main() {}
