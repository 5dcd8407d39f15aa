use tress::{Result, interface};

#[interface]
trait Quoter {
    #[name = "get user"]
    async fn user(&self) -> Result<String>;
}

fn main() {}
