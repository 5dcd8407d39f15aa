//! A constant: it cannot be called.

use tress::{Result, interface};

#[interface]
trait Quoter {
    const MOST: u32;
}

fn main() {}
