//! Mutates inputs without knowing their format: flips bits, changes bytes and numbers near limits, cuts, repeats and
//! moves pieces, and inserts pieces of other inputs. Some mutations recognise digits and quotes, because most inputs
//! are JSON.

/// A xorshift generator: the same seed gives the same inputs everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64, target: &str) -> Self {
        let mixed = target.bytes().fold(seed, |sum, byte| sum.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
        Self(mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
    /// Returns a number below `end`, or 0 if `end` is 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next()).unwrap_or(0).checked_rem(end).unwrap_or(0)
    }
    fn choose<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
    /// Returns a random range within `length`; most ranges are short.
    fn piece(&mut self, length: usize) -> std::ops::Range<usize> {
        let start = self.below(length);
        let longest = if self.below(4) == 0 { length - start } else { (length - start).min(16) };
        start..start + self.below(longest + 1)
    }
}

/// Maximum length of a mutated input (bytes), unless the corpus has longer ones.
const LONGEST: usize = 64 << 10;

/// Numbers near the limits of parsers.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "2",
    "63",
    "64",
    "65",
    "127",
    "128",
    "255",
    "256",
    "20000",
    "20001",
    "65535",
    "65536",
    "262144",
    "262145",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "68719476736",
    "68719476737",
    "9007199254740993",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "1e999",
    "0.5",
    "-0",
    "00",
];
/// Keywords of our formats, and misleading texts.
const WORDS: &[&str] = &[
    "null",
    "true",
    "{}",
    "[]",
    "\"\"",
    ",",
    ":",
    "\\u0000",
    "\\ud800",
    "\\\"",
    "\u{feff}",
    "\u{df}",
    "\u{17f}",
    "\u{212a}",
    "../",
    "/",
    "\\",
    ".",
    "\"unknown\"",
    "\"any\"",
    "\"first\"",
    "\"second\"",
    "[::1%7]:1",
    "0.0.0.0:0",
    " ",
    "\n",
    "\t",
    "=",
    "-----BEGIN CERTIFICATE REQUEST-----\n",
    "-----END CERTIFICATE REQUEST-----\n",
];
const BYTES: &[u8] = &[0, 1, 2, 3, 4, 5, 0x30, 0x31, 0x7f, 0x80, 0x81, 0x82, 0x84, 0x88, 0xa0, 0xa3, 0xfe, 0xff];

/// Returns a mutated copy of `input`; pieces may come from `other`.
pub(crate) fn mutate(random: &mut Random, input: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = input.to_vec();
    for _ in 0..[1, 1, 1, 2, 3, 6][random.below(6)] {
        change(random, &mut bytes, other);
    }
    bytes.truncate(LONGEST.max(input.len()));
    bytes
}

fn change(random: &mut Random, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = random.below(bytes.len());
    match random.below(14) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << random.below(8);
            }
        }
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = BYTES[random.below(BYTES.len())];
            }
        }
        2 => bytes.insert(at, u8::try_from(random.below(256)).unwrap_or(0)),
        3 => bytes.truncate(at),
        4 => drop(bytes.drain(random.piece(bytes.len()))),
        5 => {
            let piece = bytes[random.piece(bytes.len())].to_vec();
            bytes.splice(at..at, piece);
        }
        6 => {
            let piece = bytes[random.piece(bytes.len())].to_vec();
            let end = (at + piece.len()).min(bytes.len());
            bytes.splice(at..end, piece);
        }
        7 => {
            bytes.splice(at..at, other[random.piece(other.len())].iter().copied());
        }
        8 => {
            let from = if random.below(2) == 0 { at.min(other.len()) } else { random.below(other.len()) };
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        9 | 10 => number(random, bytes, at),
        11 => {
            let word = random.choose(WORDS);
            bytes.splice(at..at, word.bytes());
        }
        12 => big_endian(random, bytes, at),
        _ => {
            let byte = [b'[', b'{', b'"', b'0', b'9', b' ', b'A', 0xff][random.below(8)];
            let run = vec![byte; 1 << random.below(12)];
            bytes.splice(at..at, run);
        }
    }
}

/// Replaces the next number in the text.
fn number(random: &mut Random, bytes: &mut Vec<u8>, at: usize) {
    let digit = |byte: &u8| byte.is_ascii_digit();
    let Some(start) = bytes[at..].iter().position(digit).map(|skip| at + skip) else { return };
    let end = bytes[start..].iter().position(|byte| !digit(byte)).map_or(bytes.len(), |more| start + more);
    let number = random.choose(NUMBERS);
    bytes.splice(start..end, number.bytes());
}

/// Writes a length near a limit over four bytes.
fn big_endian(random: &mut Random, bytes: &mut [u8], at: usize) {
    let near: [u32; 8] = [0, 1, 5, 256 << 10, (256 << 10) + 5, 8 << 20, 1 << 31, u32::MAX];
    let length = near[random.below(8)].wrapping_add(random.below(3) as u32).wrapping_sub(1);
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&length.to_be_bytes());
    }
}
