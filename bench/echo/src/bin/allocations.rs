//! Counts the allocations of chains of callbacks and prints them, `PEER METRIC NUMBER` a line. Measures no time: an
//! allocator that counts would be part of it.
#![expect(
    unsafe_code,
    reason = "an allocator is unsafe by nature; this one only counts"
)]
#![expect(clippy::print_stdout, reason = "its output is what it is for")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    sync::atomic::{AtomicUsize, Ordering},
};
use tress::Deferred;
use tress_bench::deferred::chains;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Chains that are counted; one in so many that allocates would show.
const CHAINS: u32 = 1_000;

fn main() {
    let new = per_chain(|| black_box(Deferred::<u64>::pair()), drop);
    let tress = per_chain(chains::links_of_tress, |(resolver, end)| {
        let _ = chains::fire_tress(resolver, end, 7);
    });
    let boxed = per_chain(chains::links_in_boxes, |links| {
        let _ = chains::fire_boxes(links, 7);
    });
    println!("tress allocations_per_new_deferred {}", new.0);
    for (who, (made, fired)) in [("tress", tress), ("boxed", boxed)] {
        println!("{who} allocations_per_deferred_of_4_links {}", made + fired);
        println!("{who} allocations_to_fire {fired}");
    }
}

/// Allocations of `make`, and those of `fire` with what it made: the mean of many.
fn per_chain<C>(make: impl Fn() -> C, fire: impl Fn(C)) -> (f64, f64) {
    // The first of all may fill caches that stay.
    fire(make());
    let (mut made, mut fired) = (0, 0);
    for _ in 0..CHAINS {
        let before = allocations();
        let chain = make();
        let between = allocations();
        fire(chain);
        made += between - before;
        fired += allocations() - between;
    }
    let mean = |count: usize| count as f64 / f64::from(CHAINS);
    (mean(made), mean(fired))
}

fn allocations() -> usize {
    ALLOCATIONS.load(Ordering::Relaxed)
}
