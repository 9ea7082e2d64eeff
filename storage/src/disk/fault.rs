//! Mapped files with pages that cannot be read.
//!
//! Where the disk has an error, a file that is read tells; one that is mapped ends the process, by
//! SIGBUS. So maps are read inside of [`FileBytes::watch`], which says of which bytes. Where one
//! of their pages cannot be had, the signal's handler notes that and puts zeros in its place, and
//! whoever read them is told. Anywhere else the signal does what it always did.

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, compiler_fence, fence};

use bytes::Bytes;

/// A whole file, to be read again and again: mapped, or held in memory.
#[derive(Debug)]
pub struct FileBytes {
    bytes: Bytes,
    is_mapped: bool,
    unreadable: Unreadable,
}

/// The first page of some mapped bytes that could not be read, if there is one. It stays: zeros
/// are in its place.
#[derive(Debug, Default)]
struct Unreadable {
    /// One more than its offset.
    offset: AtomicU64,
}

impl Unreadable {
    fn check(&self) -> Result<(), u64> {
        self.offset.load(Ordering::Relaxed).checked_sub(1).map_or(Ok(()), Err)
    }
}

impl From<Bytes> for FileBytes {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, is_mapped: false, unreadable: Unreadable::default() }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What the thread reads.
#[derive(Clone, Copy)]
struct Watched {
    start: usize,
    end: usize,
    unreadable: *const Unreadable,
}

thread_local! {
    static WATCHED: Cell<Watched> =
        const { Cell::new(Watched { start: 0, end: 0, unreadable: std::ptr::null() }) };
}

/// Ends a watch, also where what was watched panics.
struct Before(Watched);

impl Drop for Before {
    fn drop(&mut self) {
        WATCHED.set(self.0);
    }
}

impl FileBytes {
    /// `bytes` are those of a map: they are never written, and nothing else is in their pages.
    pub(super) fn mapped(bytes: Bytes) -> Self {
        Self { bytes, is_mapped: true, unreadable: Unreadable::default() }
    }

    /// Runs what reads the bytes, and maybe others that are watched inside of it. An error, the
    /// offset of a page that could not be read, says that what was read means nothing; nothing is
    /// read any more once there was one.
    pub fn watch<T>(&self, read: impl FnOnce() -> T) -> Result<T, u64> {
        if !self.is_mapped {
            return Ok(read());
        }
        let unreadable = &self.unreadable;
        unreadable.check()?;
        let range = self.bytes.as_ptr_range();
        let (start, end) = (range.start as usize, range.end as usize);
        let before = Before(WATCHED.replace(Watched { start, end, unreadable }));
        // The handler runs on this thread, in between: the compiler must not see reads as
        // independent of what is said about them.
        compiler_fence(Ordering::SeqCst);
        let answer = read();
        compiler_fence(Ordering::SeqCst);
        drop(before);
        // Who sees the zeros sees that they are no bytes of the file.
        fence(Ordering::Acquire);
        unreadable.check().map(|()| answer)
    }
}

static PAGE: AtomicUsize = AtomicUsize::new(4096);

/// Makes errors of mapped files known to [`FileBytes::watch`] from now on.
pub fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(handler::install);
}

#[allow(unsafe_code, reason = "a signal's handler, and pages of zeros, are the system's")]
mod handler {
    use std::cell::UnsafeCell;
    use std::mem::MaybeUninit;
    use std::ptr::null_mut;

    use super::{Ordering, PAGE, WATCHED};

    /// What was done at the signal before. Written once, before the handler can run.
    struct Previous(UnsafeCell<MaybeUninit<libc::sigaction>>);

    // SAFETY: it is written before it is shared.
    unsafe impl Sync for Previous {}

    static PREVIOUS: Previous = Previous(UnsafeCell::new(MaybeUninit::zeroed()));

    pub fn install() {
        // SAFETY: plain calls of the system with valid places; the handler touches nothing that it
        // could have interrupted: a thread's cell without a destructor, atomics, and its own map.
        unsafe {
            if let Ok(page) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) {
                PAGE.store(page, Ordering::Relaxed);
            }
            libc::sigaction(libc::SIGBUS, std::ptr::null(), PREVIOUS.0.get().cast());
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
            libc::sigemptyset(&raw mut action.sa_mask);
            libc::sigaction(libc::SIGBUS, &raw const action, null_mut());
        }
    }

    extern "C" fn on_fault(
        _signal: libc::c_int,
        info: *mut libc::siginfo_t,
        _context: *mut libc::c_void,
    ) {
        // SAFETY: the system gives a valid `info`.
        let (at, why) = unsafe { ((*info).si_addr() as usize, (*info).si_code) };
        let watched = WATCHED.try_with(std::cell::Cell::get).ok();
        // Memory that is broken is another matter.
        let watched = watched.filter(|_| why == libc::BUS_ADRERR);
        if let Some(watched) = watched.filter(|watched| (watched.start..watched.end).contains(&at))
        {
            let page = PAGE.load(Ordering::Relaxed);
            let start = at - at % page;
            let offset = start.saturating_sub(watched.start) as u64;
            // SAFETY: who watches lives until the watch ends; and the page is one of a map, which
            // is being read and never written.
            unsafe {
                let first = &(*watched.unreadable).offset;
                let _ = first.compare_exchange(0, offset + 1, Ordering::SeqCst, Ordering::SeqCst);
                let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
                let place = start as *mut libc::c_void;
                if libc::mmap(place, page, libc::PROT_READ, kind, -1, 0) == place {
                    return;
                }
            }
        }
        // Not ours: the instruction runs into it once more, and what was done before is done.
        // SAFETY: it was written before this could run.
        unsafe {
            libc::sigaction(libc::SIGBUS, PREVIOUS.0.get().cast(), null_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{Disk, RealDisk};

    #[test]
    fn a_page_that_is_gone_is_told_and_the_others_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, vec![7; 50_000]).unwrap();
        let bytes = RealDisk.map(&path).unwrap();
        let sum = |of: std::ops::Range<usize>| of.map(|at| u64::from(bytes[at])).sum::<u64>();
        assert_eq!(bytes.watch(|| sum(0..50_000)), Ok(350_000));
        // As a bad sector: the page cannot be had.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 14).unwrap();
        let other = RealDisk.map(&path).unwrap();
        let nested = bytes.watch(|| (other.watch(|| other.len()), sum(0..1 << 14)));
        assert_eq!(nested, Ok((Ok(1 << 14), 7 << 14)));
        assert_eq!(bytes.watch(|| sum(30_000..40_000)), Err(28_672));
        let read = Cell::new(false);
        assert_eq!(bytes.watch(|| read.set(true)), Err(28_672), "it stays");
        assert!(!read.get(), "and nothing is read any more");
    }
}
