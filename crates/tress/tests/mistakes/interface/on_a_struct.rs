//! On a struct: an interface is a trait.

use tress::interface;

#[interface]
struct Quoter;

fn main() {}
