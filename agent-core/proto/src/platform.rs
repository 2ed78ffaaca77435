//! The platform of this program, as manifests and orders name it.

/// Returns the platform's name, such as `linux-x86_64`.
#[must_use]
pub fn platform() -> String {
    format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH)
}
