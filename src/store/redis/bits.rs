//! Numbers packed into bits, the lowest bit of each first.

/// Appends bits to bytes.
pub struct Writer {
    bytes: Vec<u8>,
    /// How many bits of the last byte are taken; 8: all.
    taken: u32,
}

impl Writer {
    /// Behind these bytes.
    pub fn after(bytes: Vec<u8>) -> Self {
        Self { bytes, taken: 8 }
    }

    /// Writes the lowest `count` bits of `value`.
    pub fn put(&mut self, count: u32, value: u64) {
        for bit in 0..count {
            if self.taken == 8 {
                self.bytes.push(0);
                self.taken = 0;
            }
            *self.bytes.last_mut().expect("just pushed") |= u8::from(value >> bit & 1 == 1) << self.taken;
            self.taken += 1;
        }
    }

    /// Writes any number: `first` bits, then a bit that says whether four more, and another such bit, follow.
    pub fn number(&mut self, first: u32, mut value: u64) {
        let mut count = first;
        loop {
            self.put(count, value);
            value >>= count;
            self.put(1, u64::from(value > 0));
            if value == 0 {
                break;
            }
            count = 4;
        }
    }

    /// The bytes; the last one is filled with zeros.
    pub fn done(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads them back; `None` at the end, or where a number is too large.
pub struct Reader<'a> {
    bytes: &'a [u8],
    read: usize,
}

impl<'a> Reader<'a> {
    /// From the first bit of these.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, read: 0 }
    }

    /// Reads `count` bits.
    pub fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for bit in 0..count {
            let byte = self.bytes.get(self.read / 8)?;
            value |= u64::from(byte >> (self.read % 8) & 1) << bit;
            self.read += 1;
        }
        Some(value)
    }

    /// Reads any number.
    pub fn number(&mut self, first: u32) -> Option<u64> {
        let (mut value, mut shift, mut count) = (0_u64, 0, first);
        loop {
            let part = self.take(count)?;
            value |= part.checked_shl(shift).filter(|shifted| shifted >> shift == part)?;
            if self.take(1)? == 0 {
                return Some(value);
            }
            shift += count;
            count = 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(numbers in proptest::collection::vec((1_u32..20, any::<u64>(), 0_u32..64), 0..40)) {
            let numbers: Vec<_> = numbers.into_iter().map(|(first, value, less)| (first, value >> less)).collect();
            let mut bits = Writer::after(vec![7]);
            for (first, value) in &numbers {
                bits.number(*first, *value);
            }
            let bytes = bits.done();
            let mut bits = Reader::new(&bytes[1..]);
            for (first, value) in numbers {
                prop_assert_eq!(bits.number(first), Some(value));
            }
            prop_assert!(bits.take(8).is_none());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), first in 1_u32..20) {
            let mut bits = Reader::new(&bytes);
            while bits.number(first).is_some() {}
        }
    }
}
