use tress::{Result, interface};

#[interface]
trait Quoter {
    async fn quote(&self) -> String;
}

fn main() {}
