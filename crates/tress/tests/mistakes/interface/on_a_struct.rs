use tress::interface;

#[interface]
struct Quoter;

fn main() {}
