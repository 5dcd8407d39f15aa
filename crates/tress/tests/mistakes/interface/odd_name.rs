//! A name that not every protocol can say.

use tress::{Result, interface};

#[interface]
trait Quoter {
    #[name = "get user"]
    async fn user(&self) -> Result<String>;
}

fn main() {}
