//! Extended attributes of files: capabilities, access lists, and what people and security modules note.
//!
//! The kernel or a security module sets some of them itself, and may refuse that anyone else does. A label that cannot
//! be set is therefore no error; what protects or opens a file is one.

use crate::file_attributes::ExtendedAttribute;
use rustix::{
    fs::{
        XattrFlags, flistxattr, flistxattr_query, fremovexattr, fsetxattr, lgetxattr, lgetxattr_query, llistxattr,
        llistxattr_query,
    },
    io::{Errno, Result},
};
use std::{fs::File, io, path::Path};

/// It signs the other attributes of one file on one disk, so no copy can have it.
const BOUND_TO_THE_FILE: &[u8] = b"security.evm";
/// What decides who may use a file, and what people put there.
const MUST_BE_SET: [&[u8]; 5] =
    [b"security.capability", b"system.posix_acl_access", b"system.posix_acl_default", b"user.", b"trusted."];
/// How often a list is read again that grew meanwhile.
const MAX_READS: u32 = 10;

fn must_be_set(name: &[u8]) -> bool {
    MUST_BE_SET.iter().any(|one| if one.ends_with(b".") { name.starts_with(one) } else { name == *one })
}

/// Returns the extended attributes of a file or folder by name. A file system that has none is fine.
pub(super) fn read(place: &Path) -> io::Result<Vec<ExtendedAttribute>> {
    let mut found = Vec::new();
    for name in names(|| llistxattr_query(place), |buffer| llistxattr(place, buffer))? {
        let value = grown(|| lgetxattr_query(place, &*name), |buffer| lgetxattr(place, &*name, buffer));
        match value {
            Ok(value) => found.push(ExtendedAttribute { name, value }),
            // Removed meanwhile.
            Err(Errno::NODATA) => {}
            Err(_) if !must_be_set(&name) => {}
            Err(error) => return Err(error.into()),
        }
    }
    found.sort();
    Ok(found)
}

/// Gives an open file exactly these extended attributes, except for labels that the system itself manages.
pub(super) fn set(file: &File, wanted: &[ExtendedAttribute]) -> io::Result<()> {
    for name in names(|| flistxattr_query(file), |buffer| flistxattr(file, buffer))? {
        if must_be_set(&name) && !wanted.iter().any(|one| one.name == name) {
            match fremovexattr(file, &*name) {
                Ok(()) | Err(Errno::NODATA) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    for ExtendedAttribute { name, value } in wanted {
        match fsetxattr(file, &**name, value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(_) if !must_be_set(name) => {}
            Err(error) => {
                let error = io::Error::from(error);
                let name = String::from_utf8_lossy(name);
                return Err(io::Error::new(error.kind(), format!("setting its attribute {name}: {error}")));
            }
        }
    }
    Ok(())
}

/// Returns the names of the attributes; none where the file system has no attributes.
fn names(query: impl Fn() -> Result<usize>, list: impl Fn(&mut [u8]) -> Result<usize>) -> io::Result<Vec<Vec<u8>>> {
    match grown(query, list) {
        Ok(names) => {
            let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty() && *name != BOUND_TO_THE_FILE);
            Ok(names.map(<[u8]>::to_vec).collect())
        }
        Err(Errno::NOTSUP | Errno::NOSYS) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Reads something whose size is asked for first, and can change until it is read.
fn grown(query: impl Fn() -> Result<usize>, read: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut reads = 0;
    loop {
        let mut buffer = vec![0; query()?];
        if buffer.is_empty() {
            return Ok(buffer);
        }
        reads += 1;
        match read(&mut buffer) {
            Ok(size) => {
                buffer.truncate(size);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if reads < MAX_READS => {}
            Err(error) => return Err(error),
        }
    }
}
