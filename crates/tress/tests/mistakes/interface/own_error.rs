//! An error of its own type: callers are told a Fault.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&self) -> std::result::Result<String, std::io::Error>;
}

fn main() {}
