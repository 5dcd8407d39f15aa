//! A Resolver is fired twice: firing consumes it.

use tress::Resolver;

fn answer(resolver: Resolver<u32>) {
    resolver.resolve(1);
    resolver.resolve(2);
}

fn main() {}
