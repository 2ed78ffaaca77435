//! Measures the peak memory that this process has ever requested. A parser that trusts a length in a header shows up
//! here, even if it never touches the memory.

use std::{
    fs::File,
    io::{Read as _, Seek as _},
};

/// Reads the peak; inactive where the system does not report it.
pub(crate) struct Peak(Option<File>);

impl Peak {
    pub(crate) fn new() -> Self {
        Self(File::open("/proc/self/status").ok())
    }
    /// Returns the largest address space so far (bytes).
    pub(crate) fn bytes(&mut self) -> u64 {
        self.read().unwrap_or(0)
    }
    fn read(&mut self) -> Option<u64> {
        let file = self.0.as_mut()?;
        let mut text = [0; 1024];
        file.rewind().ok()?;
        let length = file.read(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text[..length]);
        let kilobytes = text.lines().find_map(|line| line.strip_prefix("VmPeak:")?.trim().strip_suffix(" kB"))?;
        kilobytes.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
    }
}
