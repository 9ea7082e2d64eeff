//! Bob Jenkins' lookup3 hash in the form and with the seed that PostgreSQL uses
//! (`src/common/hashfn.c`), reading bytes in little-endian order.

/// `0x9e3779b9 + len + 3923095`, the initial value of all three lanes.
fn seed(len: usize) -> u32 {
    0x9e37_79b9u32.wrapping_add(len as u32).wrapping_add(3_923_095)
}

fn mix(a: &mut u32, b: &mut u32, c: &mut u32) {
    *a = a.wrapping_sub(*c) ^ c.rotate_left(4);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(6);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(8);
    *b = b.wrapping_add(*a);
    *a = a.wrapping_sub(*c) ^ c.rotate_left(16);
    *c = c.wrapping_add(*b);
    *b = b.wrapping_sub(*a) ^ a.rotate_left(19);
    *a = a.wrapping_add(*c);
    *c = c.wrapping_sub(*b) ^ b.rotate_left(4);
    *b = b.wrapping_add(*a);
}

/// The two lanes that are results: `b` only of the hashes of 64 bits.
fn finish(mut a: u32, mut b: u32, mut c: u32) -> (u32, u32) {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (b, (c ^ b).wrapping_sub(b.rotate_left(24)))
}

/// Up to four bytes as a number; missing ones are zero.
fn word(bytes: &[u8]) -> u32 {
    bytes.iter().take(4).rev().fold(0, |word, byte| (word << 8) | u32::from(*byte))
}

/// Lanes to begin with, for so many bytes and a seed of the user's.
fn begin(len: usize, own: u64) -> (u32, u32, u32) {
    let initial = seed(len);
    let (mut a, mut b, mut c) = (initial, initial, initial);
    if own != 0 {
        a = a.wrapping_add((own >> 32) as u32);
        b = b.wrapping_add(own as u32);
        mix(&mut a, &mut b, &mut c);
    }
    (a, b, c)
}

fn lanes(bytes: &[u8], own: u64) -> (u32, u32) {
    let (mut a, mut b, mut c) = begin(bytes.len(), own);
    let (blocks, tail) = bytes.as_chunks::<12>();
    for [a0, a1, a2, a3, b0, b1, b2, b3, c0, c1, c2, c3] in blocks {
        a = a.wrapping_add(u32::from_le_bytes([*a0, *a1, *a2, *a3]));
        b = b.wrapping_add(u32::from_le_bytes([*b0, *b1, *b2, *b3]));
        c = c.wrapping_add(u32::from_le_bytes([*c0, *c1, *c2, *c3]));
        mix(&mut a, &mut b, &mut c);
    }
    a = a.wrapping_add(word(tail));
    b = b.wrapping_add(word(tail.get(4..).unwrap_or(&[])));
    // The lowest byte of c is kept for the length.
    c = c.wrapping_add(word(tail.get(8..).unwrap_or(&[])) << 8);
    finish(a, b, c)
}

fn joined((high, low): (u32, u32)) -> u64 {
    (u64::from(high) << 32) | u64::from(low)
}

/// PostgreSQL's `hash_any`.
pub fn hash_bytes(bytes: &[u8]) -> u32 {
    lanes(bytes, 0).1
}

/// PostgreSQL's `hash_any_extended`.
pub fn hash_bytes_extended(bytes: &[u8], own: u64) -> u64 {
    joined(lanes(bytes, own))
}

/// PostgreSQL's `hash_uint32`: as `hash_bytes` of the four bytes.
pub fn hash_uint32(value: u32) -> u32 {
    let initial = seed(4);
    finish(initial.wrapping_add(value), initial, initial).1
}

/// PostgreSQL's `hash_uint32_extended`.
pub fn hash_uint32_extended(value: u32, own: u64) -> u64 {
    let (a, b, c) = begin(4, own);
    joined(finish(a.wrapping_add(value), b, c))
}
