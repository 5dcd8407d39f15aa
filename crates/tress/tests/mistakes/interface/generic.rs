//! A method with generics: a caller by name could not choose them.

use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote<T>(&self, it: T) -> Result<String>;
}

fn main() {}
