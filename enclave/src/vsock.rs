//! AF_VSOCK: stream sockets between a virtual machine and its host that need no network and no address plan.
//!
//! Decides: how such sockets are made and accepted. Trusts nobody for it: the host carries every byte and may be the peer, as
//! it may be on TCP. Connected sockets are handed out as [`UnixStream`], the runtime's type for a stream socket without an
//! address of its own: reading, writing and shutting down do not depend on the address family.
//!
//! `rustix` knows no vsock address and the runtime no vsock listener, so both are here, and with them the little unsafe code that takes.

#![allow(unsafe_code, reason = "an address is handed to the kernel by pointer, a descriptor to the runtime")]

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::addr::{SocketAddrArg, SocketAddrLen, SocketAddrOpaque};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use serde::Deserialize;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;

use crate::limits::ACCEPT_QUEUE;

/// Any context id: listens for whoever can reach this machine (`VMADDR_CID_ANY`).
const CID_ANY: u32 = u32::MAX;
/// Below this the kernel wants a privilege the guardian does not have (`LAST_RESERVED_PORT` + 1).
pub const PORT_MIN: u32 = 1024;
/// Above this is only `VMADDR_PORT_ANY`, which lets the kernel choose.
pub const PORT_MAX: u32 = u32::MAX - 1;

/// A peer: a machine, and a port on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct VsockAddress {
    /// Context id; 2 is the host.
    pub cid: u32,
    /// Port.
    pub port: u32,
}

impl std::fmt::Display for VsockAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vsock:{}:{}", self.cid, self.port)
    }
}

/// `struct sockaddr_vm` of Linux (`linux/vm_sockets.h`).
#[repr(C)]
struct RawAddress {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    flags: u8,
    zero: [u8; 3],
}

/// Bytes of [`RawAddress`], which has no padding.
const RAW_ADDRESS_LEN: SocketAddrLen = 16;
const _: () = assert!(size_of::<RawAddress>() == 16);

// SAFETY: `f` gets a pointer to a live, fully initialised `sockaddr_vm` and that structure's length.
unsafe impl SocketAddrArg for VsockAddress {
    unsafe fn with_sockaddr<R>(&self, f: impl FnOnce(*const SocketAddrOpaque, SocketAddrLen) -> R) -> R {
        let family = AddressFamily::VSOCK.as_raw();
        let raw = RawAddress { family, reserved: 0, port: self.port, cid: self.cid, flags: 0, zero: [0; 3] };
        f(std::ptr::from_ref(&raw).cast(), RAW_ADDRESS_LEN)
    }
}

/// Connects to `peer`.
///
/// # Errors
/// When there is no vsock on this machine, or nobody answers.
pub async fn connect(peer: VsockAddress) -> io::Result<UnixStream> {
    let socket = socket()?;
    match rustix::net::connect(&socket, &peer) {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error) => return Err(error.into()),
    }
    let stream = stream(socket)?;
    // connect(2): a connection in progress is settled once the socket is writable.
    stream.writable().await?;
    match stream.take_error()? {
        None => Ok(stream),
        Some(error) => Err(error),
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct VsockListener {
    socket: AsyncFd<OwnedFd>,
}

impl VsockListener {
    /// Listens on `port`, whatever context id this machine has been given.
    ///
    /// # Errors
    /// When there is no vsock on this machine, or the port is taken.
    pub fn bind(port: u32) -> io::Result<Self> {
        let socket = socket()?;
        rustix::net::bind(&socket, &VsockAddress { cid: CID_ANY, port })?;
        rustix::net::listen(&socket, i32::from(ACCEPT_QUEUE))?;
        // SAFETY: the descriptor is owned by the registration, and is neither closed nor replaced before it.
        let socket = unsafe { AsyncFd::register(socket)? };
        Ok(Self { socket })
    }

    /// The next connection.
    ///
    /// # Errors
    /// When the kernel has none to give, for want of memory or file descriptors.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        loop {
            let mut ready = self.socket.readable().await?;
            let accepted = ready
                .try_io(|socket| Ok(rustix::net::accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?));
            // An error of `try_io` itself says that somebody else was faster.
            if let Ok(accepted) = accepted {
                return stream(accepted?);
            }
        }
    }
}

fn socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?)
}

fn stream(socket: OwnedFd) -> io::Result<UnixStream> {
    UnixStream::from_std(socket.into())
}
