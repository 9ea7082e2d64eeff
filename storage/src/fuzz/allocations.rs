//! How much memory a call takes at most.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// How many threads are in [`most_bytes`]: the others have nothing to count.
static MEASURED: AtomicUsize = AtomicUsize::new(0);

/// The most bytes that this thread had allocated at once in `run`, beyond those from before.
pub fn most_bytes(run: impl FnOnce()) -> usize {
    LIVE.set(0);
    MOST.set(0);
    MEASURED.fetch_add(1, Ordering::Relaxed);
    run();
    MEASURED.fetch_sub(1, Ordering::Relaxed);
    MOST.get().unsigned_abs()
}

fn count(bytes: isize) {
    if MEASURED.load(Ordering::Relaxed) == 0 {
        return;
    }
    // A thread that ends has no counters any more.
    let _ = LIVE.try_with(|live| {
        live.set(live.get() + bytes);
        let _ = MOST.try_with(|most| most.set(most.get().max(live.get())));
    });
}

#[allow(unsafe_code, reason = "an allocator that counts, in tests alone")]
// SAFETY: everything is the system's allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.realloc(at, layout, size) }
    }
}
