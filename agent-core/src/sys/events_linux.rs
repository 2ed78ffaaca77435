//! What the Linux kernel tells: the clock was set, the network changed, a file in a folder changed. A program that waits
//! for these events is woken only when one happens.

use nix::sys::{
    inotify::{AddWatchFlags, InitFlags, Inotify},
    socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket},
    time::{TimeSpec, TimeValLike as _},
    timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags},
};
use std::{
    ffi::OsStr,
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};
use tokio::io::{Interest, unix::AsyncFd};

/// Groups of routing messages (rtnetlink(7)): addresses and routes of IPv4 and IPv6.
const ADDRESSES_AND_ROUTES: u32 = 0x10 | 0x40 | 0x100 | 0x400;
/// A time that the timer never reaches (seconds since 1970: the year 2255).
const NEVER: i64 = 9_000_000_000;

#[expect(deprecated, reason = "sound for OwnedFd, which keeps its descriptor; the replacement is an unsafe function")]
fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// Reports that the wall clock was set, or that the computer woke from sleep.
pub(crate) struct ClockEvents {
    timer: TimerFd,
    descriptor: AsyncFd<OwnedFd>,
}

impl ClockEvents {
    pub(crate) fn open() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        let descriptor = watch(timer.as_fd().try_clone_to_owned()?)?;
        let events = Self { timer, descriptor };
        events.arm()?;
        Ok(events)
    }
    /// Sets a timer that the kernel cancels when the clock jumps (timerfd_create(2)). Waking from sleep counts as a jump.
    fn arm(&self) -> io::Result<()> {
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        Ok(self.timer.set(Expiration::OneShot(TimeSpec::seconds(NEVER)), flags)?)
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.descriptor.readable().await?;
            match self.timer.wait() {
                Ok(()) => {
                    ready.clear_ready();
                    drop(ready);
                    return self.arm();
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reports changes of this machine's addresses and routes.
pub(crate) struct NetworkEvents(AsyncFd<OwnedFd>);

impl NetworkEvents {
    pub(crate) fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, ADDRESSES_AND_ROUTES))?;
        Ok(Self(watch(socket)?))
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        let mut has_changed = false;
        let mut buffer = [0; 8192];
        loop {
            let mut ready = self.0.readable().await?;
            match recv(self.0.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                // The contents do not matter: the caller looks at the addresses themselves. ENOBUFS: messages were lost.
                Ok(_) | Err(nix::errno::Errno::ENOBUFS) => has_changed = true,
                Err(nix::errno::Errno::EAGAIN) => {
                    ready.clear_ready();
                    if has_changed {
                        return Ok(());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Reports changes of one file: created, replaced, written or deleted.
pub(crate) struct FileEvents {
    inotify: Inotify,
    descriptor: AsyncFd<OwnedFd>,
    name: std::ffi::OsString,
}

impl FileEvents {
    /// Watches the file's folder, so that the file may be missing or be replaced.
    pub(crate) fn open(file: &Path) -> io::Result<Self> {
        let nothing = || io::Error::from(io::ErrorKind::InvalidInput);
        let (folder, name) = (file.parent().ok_or_else(nothing)?, file.file_name().ok_or_else(nothing)?);
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let kinds = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(folder, kinds)?;
        let descriptor = watch(inotify.as_fd().try_clone_to_owned()?)?;
        Ok(Self { inotify, descriptor, name: name.to_owned() })
    }
    pub(crate) async fn next(&mut self) -> io::Result<()> {
        loop {
            let mut ready = self.descriptor.readable().await?;
            match self.inotify.read_events() {
                Ok(events) => {
                    let is_about_file = |name: Option<&OsStr>| name.is_none_or(|name| name == self.name);
                    if events.iter().any(|event| is_about_file(event.name.as_deref())) {
                        return Ok(());
                    }
                }
                Err(nix::errno::Errno::EAGAIN) => ready.clear_ready(),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
