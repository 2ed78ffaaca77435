//! Decompresses what stands around a tar archive. Several members or frames in a row are one stream, and zeros after
//! the last one are ignored, as gzip does: tapes and some programs fill up blocks with them. Memory is bounded.
//!
//! Other data after the last member are an error. gzip ignores them with a warning, and GNU tar then fails. They can be a
//! member whose first bytes were damaged, and a tar archive that ends before it looks whole: its last files would be
//! missing on every machine, without a word.

use std::io::{self, BufRead, BufReader, Read};

/// The largest window that a zstd stream may need, as a power of two (bytes): 128 MiB, which `zstd -d` accepts without
/// options.
const ZSTD_WINDOW_LOG: u32 = 27;
/// The memory that an xz stream may need (KiB): a dictionary of 128 MiB, twice that of `xz -9`, and some more.
const XZ_MEMORY_KIB: u32 = 132 << 10;

/// How a tar archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

impl Compression {
    /// The name for people.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zstd => "zstd",
        }
    }
    pub(super) fn decompress<R: Read + 'static>(self, input: BufReader<R>) -> io::Result<Box<dyn Read>> {
        Ok(match self {
            Self::None => Box::new(input),
            Self::Gzip => Box::new(Members::<_, flate2::bufread::GzDecoder<_>>::new(input)),
            Self::Bzip2 => Box::new(Members::<_, bzip2::bufread::BzDecoder<_>>::new(input)),
            Self::Zstd => Box::new(Members::<_, zstd::Decoder<'static, _>>::new(input)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
        })
    }
}

/// A decompressor of one member of a stream.
trait MemberDecoder<R: BufRead>: Read + Sized {
    fn begin(input: R) -> io::Result<Self>;
    fn into_input(self) -> R;
    /// Whether another member begins with this byte.
    fn may_begin_with(byte: u8) -> bool;
}

impl<R: BufRead> MemberDecoder<R> for flate2::bufread::GzDecoder<R> {
    fn begin(input: R) -> io::Result<Self> {
        Ok(Self::new(input))
    }
    fn into_input(self) -> R {
        self.into_inner()
    }
    fn may_begin_with(byte: u8) -> bool {
        byte == 0x1f
    }
}

impl<R: BufRead> MemberDecoder<R> for bzip2::bufread::BzDecoder<R> {
    fn begin(input: R) -> io::Result<Self> {
        Ok(Self::new(input))
    }
    fn into_input(self) -> R {
        self.into_inner()
    }
    fn may_begin_with(byte: u8) -> bool {
        byte == b'B'
    }
}

impl<R: BufRead> MemberDecoder<R> for zstd::Decoder<'static, R> {
    fn begin(input: R) -> io::Result<Self> {
        let mut decoder = Self::with_buffer(input)?;
        decoder.window_log_max(ZSTD_WINDOW_LOG)?;
        Ok(decoder.single_frame())
    }
    fn into_input(self) -> R {
        self.finish()
    }
    fn may_begin_with(byte: u8) -> bool {
        matches!(byte, 0x28 | 0x50..=0x5f)
    }
}

/// All members of a stream, one after another.
struct Members<R, D> {
    /// The input between two members.
    input: Option<R>,
    /// The member that is being read.
    decoder: Option<D>,
}

impl<R: BufRead, D: MemberDecoder<R>> Members<R, D> {
    fn new(input: R) -> Self {
        Self { input: Some(input), decoder: None }
    }
    /// Begins the next member. Returns whether there is one.
    fn begin(&mut self) -> io::Result<bool> {
        let Some(mut input) = self.input.take() else { return Ok(false) };
        match input.fill_buf()?.first() {
            None => return Ok(false),
            Some(0) => return skip_zeros(&mut input).map(|()| false),
            Some(byte) if !D::may_begin_with(*byte) => return Err(data_after_end()),
            Some(_) => {}
        }
        self.decoder = Some(D::begin(input)?);
        Ok(true)
    }
}

impl<R: BufRead, D: MemberDecoder<R>> Read for Members<R, D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let Some(decoder) = &mut self.decoder else {
                match self.begin()? {
                    true => continue,
                    false => return Ok(0),
                }
            };
            let count = decoder.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.input = self.decoder.take().map(D::into_input);
        }
    }
}

fn skip_zeros(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let some = input.fill_buf()?;
        if some.is_empty() {
            return Ok(());
        }
        if some.iter().any(|byte| *byte != 0) {
            return Err(data_after_end());
        }
        let length = some.len();
        input.consume(length);
    }
}

fn data_after_end() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "other data follow the compressed data")
}
