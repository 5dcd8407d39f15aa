//! A call that cannot fail: it may, on its way.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&self) -> String;
}

fn main() {}
