//! What differs by operating system.

#[cfg(target_os = "linux")]
#[path = "traffic_class_linux.rs"]
pub(crate) mod traffic_class;
#[cfg(not(target_os = "linux"))]
#[path = "traffic_class_other.rs"]
pub(crate) mod traffic_class;
