//! Recognises for which platform a program was built, by its ELF, PE or Mach-O header.

/// Returns the platforms of a program, by the first bytes of its file. Empty if it is not a program, or one that runs
/// anywhere, such as a .NET assembly.
pub(crate) fn platforms(head: &[u8]) -> Vec<String> {
    if head.starts_with(b"\x7fELF") {
        elf(head).into_iter().collect()
    } else if head.starts_with(b"MZ") {
        portable_executable(head).into_iter().collect()
    } else {
        mach_o(head)
    }
}

fn elf(head: &[u8]) -> Option<String> {
    let is_big = *head.get(5)? == 2;
    let machine = number16(head, 18, is_big)?;
    let is_64 = *head.get(4)? == 2;
    let processor = match (machine, is_64) {
        (62, true) => "x86_64",
        (183, _) => "aarch64",
        (3, _) => "x86",
        (40, _) => "arm",
        (243, true) => "riscv64",
        (243, false) => "riscv32",
        (21, _) => "powerpc64",
        (20, _) => "powerpc",
        (22, _) => "s390x",
        (258, _) => "loongarch64",
        (8, true) => "mips64",
        (8, false) => "mips",
        (43, _) => "sparc64",
        // Others are programs for devices, graphics processors or the kernel's own machine.
        _ => return None,
    };
    let system = match *head.get(7)? {
        0 | 3 => "linux",
        2 => "netbsd",
        6 => "solaris",
        9 => "freebsd",
        12 => "openbsd",
        // Bare metal, and what nobody installs.
        _ => return None,
    };
    Some(format!("{system}-{processor}"))
}

fn portable_executable(head: &[u8]) -> Option<String> {
    let start = usize::try_from(number32(head, 0x3c, false)?).ok()?;
    if head.get(start..start.checked_add(4)?)? != b"PE\0\0" {
        return None;
    }
    let processor = match number16(head, start + 4, false)? {
        0x8664 => "x86_64",
        0xaa64 => "aarch64",
        0x014c => "x86",
        0x01c4 => "arm",
        _ => return None,
    };
    let optional = start + 24;
    let directories = if number16(head, optional, false)? == 0x20b { optional + 112 } else { optional + 96 };
    // The fifteenth directory is the header of .NET: such an assembly runs wherever .NET does.
    let is_dot_net = number32(head, directories + 14 * 8, false).is_some_and(|address| address != 0);
    (!is_dot_net).then(|| format!("windows-{processor}"))
}

/// One Mach-O program, or a universal file with several.
fn mach_o(head: &[u8]) -> Vec<String> {
    let is_big = match head.get(..4) {
        Some(b"\xfe\xed\xfa\xce" | b"\xfe\xed\xfa\xcf") => true,
        Some(b"\xce\xfa\xed\xfe" | b"\xcf\xfa\xed\xfe") => false,
        Some(b"\xca\xfe\xba\xbe") => return universal(head, 20),
        // With offsets of 64 bits.
        Some(b"\xca\xfe\xba\xbf") => return universal(head, 32),
        _ => return vec![],
    };
    number32(head, 4, is_big).and_then(mach_o_platform).into_iter().collect()
}

/// A universal file, whose entries have `entry_bytes`. A Java class begins with the same bytes; its version stands where
/// the number of programs would.
fn universal(head: &[u8], entry_bytes: usize) -> Vec<String> {
    const MAX_PROGRAMS: u32 = 16;
    let count = number32(head, 4, true).filter(|count| *count <= MAX_PROGRAMS).unwrap_or(0);
    let entry = |index: usize| mach_o_platform(number32(head, 8 + index * entry_bytes, true)?);
    (0..count as usize).filter_map(entry).collect()
}

fn mach_o_platform(processor: u32) -> Option<String> {
    let name = match processor {
        0x0100_0007 => "x86_64",
        0x0100_000c => "aarch64",
        7 => "x86",
        _ => return None,
    };
    Some(format!("macos-{name}"))
}

fn number16(head: &[u8], at: usize, is_big: bool) -> Option<u16> {
    let bytes: [u8; 2] = head.get(at..at.checked_add(2)?)?.try_into().ok()?;
    Some(if is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) })
}

fn number32(head: &[u8], at: usize, is_big: bool) -> Option<u32> {
    let bytes: [u8; 4] = head.get(at..at.checked_add(4)?)?.try_into().ok()?;
    Some(if is_big { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Returns the header of an ELF program (64 bits, little endian).
    pub(crate) fn elf_program(machine: u16) -> Vec<u8> {
        let mut head = b"\x7fELF\x02\x01\x01\x00".to_vec();
        head.resize(64, 0);
        head[18..20].copy_from_slice(&machine.to_le_bytes());
        head
    }
    /// Returns the header of a program for Windows (64 bits).
    pub(crate) fn windows_program(machine: u16, is_dot_net: bool) -> Vec<u8> {
        let mut head = b"MZ".to_vec();
        head.resize(512, 0);
        head[0x3c] = 0x80;
        head[0x80..0x84].copy_from_slice(b"PE\0\0");
        head[0x84..0x86].copy_from_slice(&machine.to_le_bytes());
        head[0x98..0x9a].copy_from_slice(&0x20b_u16.to_le_bytes());
        head[0x98 + 112 + 14 * 8] = u8::from(is_dot_net);
        head
    }

    #[test]
    fn programs_are_recognised_and_what_runs_anywhere_is_not_one() {
        assert_eq!(platforms(&elf_program(62)), ["linux-x86_64"]);
        assert_eq!(platforms(&elf_program(183)), ["linux-aarch64"]);
        assert_eq!(platforms(&elf_program(247)), [""; 0], "a program for the kernel's own machine");
        assert_eq!(platforms(&windows_program(0x8664, false)), ["windows-x86_64"]);
        assert_eq!(platforms(&windows_program(0x8664, true)), [""; 0], "a .NET assembly");
        assert_eq!(platforms(b"\xcf\xfa\xed\xfe\x0c\0\0\x01"), ["macos-aarch64"]);
        let mut universal = b"\xca\xfe\xba\xbe\0\0\0\x02\x01\0\0\x07".to_vec();
        universal.extend([0; 16]);
        universal.extend(b"\x01\0\0\x0c");
        assert_eq!(platforms(&universal), ["macos-x86_64", "macos-aarch64"]);
        let mut wide = b"\xca\xfe\xba\xbf\0\0\0\x02\x01\0\0\x07".to_vec();
        wide.extend([0; 28]);
        wide.extend(b"\x01\0\0\x0c");
        assert_eq!(platforms(&wide), ["macos-x86_64", "macos-aarch64"]);
        assert_eq!(platforms(b"\xca\xfe\xba\xbe\0\0\0\x41 a Java class"), [""; 0]);
        for whole in [elf_program(62), windows_program(0x8664, false), universal] {
            (0..whole.len()).for_each(|length| drop(platforms(&whole[..length])));
        }
        assert_eq!(platforms(b"MZ\x90"), [""; 0]);
    }
}
