//! D-Bus values, parsed with every length checked: other programs' messages are untrusted input.

use std::collections::BTreeMap;

/// Maximum nesting depth (the bus allows 64; the values read here nest 3 deep).
const DEPTH: usize = 16;

/// A value. Paths and signatures are text, variants are their content, and structs and arrays are lists.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Number(u64),
    Signed(i64),
    Double(f64),
    Text(String),
    List(Vec<Value>),
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
    pub(super) fn list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

/// The properties of one interface of one object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Properties(BTreeMap<String, Value>);

impl Properties {
    /// Takes the properties from an `a{sv}`.
    pub(super) fn from_dictionary(dictionary: &Value) -> Self {
        let pair = |entry: &Value| match entry.list()? {
            [Value::Text(name), value] => Some((name.clone(), value.clone())),
            _ => None,
        };
        Self(dictionary.list().unwrap_or_default().iter().filter_map(pair).collect())
    }
    #[cfg(test)]
    pub(super) fn from_pairs(all: &[(&str, Value)]) -> Self {
        Self(all.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect())
    }
    pub(super) fn bool(&self, name: &str) -> Option<bool> {
        if let Some(Value::Bool(value)) = self.0.get(name) { Some(*value) } else { None }
    }
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        if let Some(Value::Number(value)) = self.0.get(name) { Some(*value) } else { None }
    }
    pub(super) fn double(&self, name: &str) -> Option<f64> {
        if let Some(Value::Double(value)) = self.0.get(name) { Some(*value) } else { None }
    }
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.text()
    }
}

/// Parses values from bytes that start at a multiple of eight within their message.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    big_endian: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8], big_endian: bool) -> Self {
        Self { bytes, at: 0, big_endian }
    }
    pub(super) fn align(&mut self, to: usize) -> Option<()> {
        self.at = self.at.next_multiple_of(to);
        (self.at <= self.bytes.len()).then_some(())
    }
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.align(N.min(8))?;
        self.slice(N)?.try_into().ok()
    }
    fn slice(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let slice = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(slice)
    }
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }
    fn u16(&mut self) -> Option<u16> {
        let bytes = self.take()?;
        Some(if self.big_endian { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
    }
    pub(super) fn u32(&mut self) -> Option<u32> {
        let bytes = self.take()?;
        Some(if self.big_endian { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
    }
    fn u64(&mut self) -> Option<u64> {
        let bytes = self.take()?;
        Some(if self.big_endian { u64::from_be_bytes(bytes) } else { u64::from_le_bytes(bytes) })
    }
    /// Parses text of this length and its terminating zero.
    fn text(&mut self, length: usize) -> Option<String> {
        let text = self.slice(length)?;
        (self.slice(1)? == [0]).then(|| String::from_utf8(text.to_owned()).ok())?
    }
    pub(super) fn signature(&mut self) -> Option<String> {
        let length = self.u8()?;
        self.text(length.into())
    }
    /// Parses the values of a whole signature.
    pub(super) fn read_all(&mut self, signature: &str) -> Option<Vec<Value>> {
        self.read_values(signature.as_bytes(), 0)
    }
    fn read_values(&mut self, mut types: &[u8], depth: usize) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !types.is_empty() {
            let (first, rest) = types.split_at(type_length(types, 0)?);
            values.push(self.value(first, depth)?);
            types = rest;
        }
        Some(values)
    }
    /// Parses one value of one complete type.
    fn value(&mut self, kind: &[u8], depth: usize) -> Option<Value> {
        if depth > DEPTH {
            return None;
        }
        Some(match kind {
            b"b" => Value::Bool(self.u32()? == 1),
            b"y" => Value::Number(self.u8()?.into()),
            b"q" => Value::Number(self.u16()?.into()),
            b"u" | b"h" => Value::Number(self.u32()?.into()),
            b"t" => Value::Number(self.u64()?),
            b"n" => Value::Signed(self.u16()?.cast_signed().into()),
            b"i" => Value::Signed(self.u32()?.cast_signed().into()),
            b"x" => Value::Signed(self.u64()?.cast_signed()),
            b"d" => Value::Double(f64::from_bits(self.u64()?)),
            b"s" | b"o" => {
                let length = self.u32()?;
                Value::Text(self.text(length.try_into().ok()?)?)
            }
            b"g" => Value::Text(self.signature()?),
            b"v" => {
                let inner = self.signature()?;
                if type_length(inner.as_bytes(), 0)? != inner.len() {
                    return None;
                }
                self.value(inner.as_bytes(), depth + 1)?
            }
            [b'a', of @ ..] => {
                let length = usize::try_from(self.u32()?).ok()?;
                self.align(alignment(of))?;
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len())?;
                let mut list = Vec::new();
                while self.at < end {
                    list.push(self.value(of, depth + 1)?);
                }
                (self.at == end).then_some(Value::List(list))?
            }
            [b'(', of @ .., b')'] | [b'{', of @ .., b'}'] => {
                self.align(8)?;
                Value::List(self.read_values(of, depth + 1)?)
            }
            _ => return None,
        })
    }
}

fn alignment(kind: &[u8]) -> usize {
    match kind.first() {
        Some(b'y' | b'g' | b'v') => 1,
        Some(b'n' | b'q') => 2,
        Some(b'x' | b't' | b'd' | b'(' | b'{') => 8,
        _ => 4,
    }
}

/// Returns the length of the first complete type.
fn type_length(types: &[u8], depth: usize) -> Option<usize> {
    if depth > DEPTH {
        return None;
    }
    match types.first()? {
        b'a' => Some(1 + type_length(&types[1..], depth + 1)?),
        open @ (b'(' | b'{') => {
            let close = if *open == b'(' { b')' } else { b'}' };
            let mut at = 1;
            while *types.get(at)? != close {
                at += type_length(&types[at..], depth + 1)?;
            }
            // Empty brackets would be a value without bytes, and a list of those would never end.
            (at > 1).then_some(at + 1)
        }
        b')' | b'}' => None,
        _ => Some(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns `{"Percentage": <57.5>, "OnBattery": <true>}` as UPower encodes it.
    fn properties() -> Vec<u8> {
        let mut bytes = vec![0; 4];
        let entry = |bytes: &mut Vec<u8>, name: &str, kind: u8| {
            bytes.resize(bytes.len().next_multiple_of(8), 0);
            bytes.extend(u32::try_from(name.len()).unwrap().to_le_bytes());
            bytes.extend(name.as_bytes());
            bytes.extend([0, 1, kind, 0]);
        };
        entry(&mut bytes, "Percentage", b'd');
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes.extend(57.5_f64.to_le_bytes());
        entry(&mut bytes, "OnBattery", b'b');
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend(1_u32.to_le_bytes());
        let length = u32::try_from(bytes.len() - 8).unwrap();
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes
    }

    #[test]
    fn properties_are_parsed() {
        let bytes = properties();
        let read = Reader::new(&bytes, false).read_all("a{sv}").unwrap();
        let read = Properties::from_dictionary(&read[0]);
        assert_eq!((read.double("Percentage"), read.bool("OnBattery")), (Some(57.5), Some(true)));
        assert_eq!((read.number("Percentage"), read.text("OnBattery"), read.bool("x")), (None, None, None));
    }

    #[test]
    fn damaged_values_are_rejected_without_a_panic() {
        let bytes = properties();
        for cut in 0..bytes.len() {
            assert_eq!(Reader::new(&bytes[..cut], false).read_all("a{sv}"), None, "cut to {cut}");
        }
        for at in 0..bytes.len() {
            for byte in [0, 1, 0x7f, 0xff] {
                let mut changed = bytes.clone();
                changed[at] = byte;
                // Any result is fine as long as parsing ends.
                drop(Reader::new(&changed, false).read_all("a{sv}"));
            }
        }
        drop(Reader::new(&bytes, true).read_all("a{sv}"));
        for signature in ["a", "(", "()", "a()", "a{sv", "z", ")", &"a".repeat(100), &"(".repeat(100)] {
            assert_eq!(Reader::new(&bytes, false).read_all(signature), None, "{signature}");
        }
    }

    #[test]
    fn nested_variants_have_a_maximum_depth() {
        let nested = |depth| [[1, b'v', 0].repeat(depth), vec![1, b'y', 0, 7]].concat();
        assert_eq!(Reader::new(&nested(5), false).read_all("v"), Some(vec![Value::Number(7)]));
        assert_eq!(Reader::new(&nested(100), false).read_all("v"), None);
        let brackets = |depth: usize| format!("{}y{}", "(".repeat(depth), ")".repeat(depth));
        assert!(Reader::new(&[7], false).read_all(&brackets(5)).is_some());
        assert_eq!(Reader::new(&[7], false).read_all(&brackets(100)), None);
    }
}
