//! Owns the system calls that no crate has safely for us: many datagrams at once, what ICMP tells of those
//! that were sent, the addresses of this machine, memory given back, descriptors that the process was started with, signals
//! that it was told to ignore. The only file of the program with `unsafe` in it. Knows
//! nothing beyond their arguments.

#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::{io, mem, ptr};

use super::datagram::{BATCH, Outgoing, ROOM, SEND_BATCH};
use super::memory::code;

// C libraries differ in the integers of these structures and calls, hence `as _`: musl has the flags of recvmmsg(2) and
// sendmmsg(2) unsigned and lengths of 32 bits where glibc has them signed and of 64. Each value fits both.

/// recvmmsg(2): fills the first of `buffers` with what has arrived, and tells `arrived` from whom
/// and how long each is. Never waits; at least one datagram, or an error.
pub(super) fn recv_many(
    socket: BorrowedFd<'_>,
    buffers: &mut [[u8; ROOM]],
    mut arrived: impl FnMut(SocketAddr, usize),
) -> io::Result<()> {
    let count = buffers.len().min(BATCH);
    // SAFETY: all three are plain C structures of integers and pointers, for which all zeros (null
    // pointers, zero lengths) is a value. `sockaddr_in6` is the longer of the two families' names.
    let (mut headers, mut pieces, mut names) = unsafe {
        (
            mem::zeroed::<[libc::mmsghdr; BATCH]>(),
            mem::zeroed::<[libc::iovec; BATCH]>(),
            mem::zeroed::<[libc::sockaddr_in6; BATCH]>(),
        )
    };
    // Element pointers are all derived from these, once: a later `&mut` to a whole array would
    // invalidate what the headers already point to.
    let (first_piece, first_name) = (pieces.as_mut_ptr(), names.as_mut_ptr());
    for (index, (header, buffer)) in headers.iter_mut().zip(buffers).enumerate() {
        let piece = libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        };
        // SAFETY: `index` is less than BATCH, the length of both arrays.
        let (at, name) = unsafe { (first_piece.add(index), first_name.add(index)) };
        // SAFETY: `at` is an element of `pieces`.
        unsafe { at.write(piece) };
        header.msg_hdr.msg_name = name.cast();
        header.msg_hdr.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
        header.msg_hdr.msg_iov = at;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers are filled in above: each has a name of the size it says, and
    // one piece, which is a whole buffer borrowed mutably until the end of this function. Without a
    // timeout and with MSG_DONTWAIT the kernel keeps none of the pointers.
    let result = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
            ptr::null_mut(),
        )
    };
    let received = usize::try_from(result).map_err(|_| io::Error::last_os_error())?;
    for (header, name) in headers.iter().zip(&names).take(received) {
        let from = decode_name(name).expect("invariant: a UDP socket hears IPv4 or IPv6");
        arrived(from, header.msg_len as usize);
    }
    Ok(())
}

/// sendmmsg(2): sends the first of `outgoing`, [`SEND_BATCH`] at most, and returns how many went. Never
/// waits. An error concerns the first alone.
pub(super) fn send_many(socket: BorrowedFd<'_>, outgoing: &[Outgoing<'_>]) -> io::Result<usize> {
    let count = outgoing.len().min(SEND_BATCH);
    // Only those that are needed are written, five kilobytes otherwise.
    let mut headers = [const { MaybeUninit::<libc::mmsghdr>::uninit() }; SEND_BATCH];
    let mut pieces = [const { MaybeUninit::<libc::iovec>::uninit() }; SEND_BATCH];
    let slots = headers.iter_mut().zip(&mut pieces);
    for (datagram, (header, piece)) in outgoing.iter().zip(slots) {
        // The kernel only reads them, but shares its structures with receiving.
        let piece = piece.write(libc::iovec {
            iov_base: datagram.bytes.as_ptr().cast_mut().cast(),
            iov_len: datagram.bytes.len(),
        });
        // SAFETY: a plain C structure of integers and pointers, for which all zeros is a value.
        let header = header.write(unsafe { mem::zeroed() });
        header.msg_hdr.msg_name = datagram.to.name().cast_mut();
        header.msg_hdr.msg_namelen = datagram.to.name_len();
        header.msg_hdr.msg_iov = piece;
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: the first `count` headers are filled in above: each has one piece, in an array that lives (and is not
    // touched) until after the call; names and bytes are as long as they say, borrowed for this whole
    // function and only read. The kernel keeps none of the pointers.
    let result = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr().cast::<libc::mmsghdr>(),
            count as libc::c_uint,
            libc::MSG_DONTWAIT as _,
        )
    };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Has the kernel queue what ICMP tells of datagrams that the socket sent (IP_RECVERR in ip(7)).
pub(super) fn keep_errors(socket: BorrowedFd<'_>, ipv6: bool) -> io::Result<()> {
    let (level, option) = match ipv6 {
        false => (libc::SOL_IP, libc::IP_RECVERR),
        true => (libc::SOL_IPV6, libc::IPV6_RECVERR),
    };
    let on: libc::c_int = 1;
    // SAFETY: the kernel reads one integer of the size that it is told, during the call.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes one message off the socket's error queue (IP_RECVERR in ip(7)): the address to which a datagram could
/// not be delivered, as somebody on the way or the host there has told by ICMP; `None` for any other
/// error. `WouldBlock` when there is none left.
pub(super) fn recv_unreachable(socket: BorrowedFd<'_>) -> io::Result<Option<SocketAddr>> {
    /// Longer than the one control message that there is: an error and the address of who told it.
    #[repr(align(8))]
    struct Control([u8; 256]);

    let mut control = Control([0; 256]);
    let mut begun = [0_u8; 1];
    let mut piece = libc::iovec {
        iov_base: begun.as_mut_ptr().cast(),
        iov_len: begun.len(),
    };
    // SAFETY: both are plain C structures of integers and pointers, for which all zeros is a value.
    let (mut name, mut header) = unsafe {
        (
            mem::zeroed::<libc::sockaddr_in6>(),
            mem::zeroed::<libc::msghdr>(),
        )
    };
    header.msg_name = ptr::from_mut(&mut name).cast();
    header.msg_namelen = size_of::<libc::sockaddr_in6>() as libc::socklen_t;
    header.msg_iov = &mut piece;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control.0.len() as _;
    let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
    // SAFETY: the header names a place for a name, one piece and room for control messages, each of the size
    // it says and alive until the end of this function. The kernel keeps none of the pointers.
    if unsafe { libc::recvmsg(socket.as_raw_fd(), &mut header, flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the header was filled in by recvmsg, and its control messages are still there.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(&header) };
    // SAFETY: what CMSG_FIRSTHDR and CMSG_NXTHDR return is null or points to a whole control message.
    while let Some(at) = unsafe { message.as_ref() } {
        let is_error = matches!(
            (at.cmsg_level, at.cmsg_type),
            (libc::SOL_IP, libc::IP_RECVERR) | (libc::SOL_IPV6, libc::IPV6_RECVERR)
        );
        if is_error {
            // SAFETY: a message of this type holds the structure, at an address that is aligned for integers.
            let told = unsafe {
                libc::CMSG_DATA(message)
                    .cast::<libc::sock_extended_err>()
                    .read_unaligned()
            };
            let by_icmp =
                [libc::SO_EE_ORIGIN_ICMP, libc::SO_EE_ORIGIN_ICMP6].contains(&told.ee_origin);
            let nobody_there = [libc::ECONNREFUSED, libc::EHOSTUNREACH, libc::ENETUNREACH]
                .contains(&(told.ee_errno as libc::c_int));
            let to = decode_name(&name).filter(|_| by_icmp && nobody_there);
            return Ok(to);
        }
        // SAFETY: as above.
        message = unsafe { libc::CMSG_NXTHDR(&header, message) };
    }
    Ok(None)
}

/// getifaddrs(3): the addresses of this machine's network interfaces, loopback's too, each with its label: its
/// interface's name, and for an alias something after a colon (`eth0:1`).
pub(super) fn own_addresses() -> io::Result<Vec<(CString, IpAddr)>> {
    let mut first = ptr::null_mut();
    // SAFETY: the function only writes where it is told to put the list.
    if unsafe { libc::getifaddrs(&mut first) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let mut addresses = Vec::new();
    let mut next: *const libc::ifaddrs = first;
    // SAFETY: every pointer of the list is null or points to an entry, until the list is freed below.
    while let Some(entry) = unsafe { next.as_ref() } {
        next = entry.ifa_next;
        // An interface without an address has an entry too.
        // SAFETY: a pointer that is not null points to a name, which begins with its family.
        let Some(name) = (unsafe { entry.ifa_addr.as_ref() }) else {
            continue;
        };
        let length = match libc::c_int::from(name.sa_family) {
            libc::AF_INET => size_of::<libc::sockaddr_in>(),
            libc::AF_INET6 => size_of::<libc::sockaddr_in6>(),
            _ => continue,
        };
        // SAFETY: all zeros is a value of this C structure of integers.
        let mut copy = unsafe { mem::zeroed::<libc::sockaddr_in6>() };
        // SAFETY: a name of that family is so long, and `copy` is as long as the longer of the two.
        unsafe {
            let to = ptr::from_mut(&mut copy).cast::<u8>();
            ptr::copy_nonoverlapping(entry.ifa_addr.cast::<u8>(), to, length);
        }
        // SAFETY: every entry has a label, a string that lives as long as the list.
        let label = unsafe { CStr::from_ptr(entry.ifa_name) };
        addresses.extend(decode_name(&copy).map(|name| (label.to_owned(), name.ip())));
    }
    // SAFETY: it is the list that getifaddrs made, and nothing borrowed from it is left.
    unsafe { libc::freeifaddrs(first) };
    Ok(addresses)
}

/// A socket's name of either family; `None` for any other.
fn decode_name(name: &libc::sockaddr_in6) -> Option<SocketAddr> {
    match libc::c_int::from(name.sin6_family) {
        libc::AF_INET => {
            let name = ptr::from_ref(name).cast::<libc::sockaddr_in>();
            // SAFETY: a `sockaddr_in` is shorter than the `sockaddr_in6` in whose place the kernel put
            // it, has the same alignment, and any bytes are a value of it.
            let name = unsafe { &*name };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            let port = u16::from_be(name.sin_port);
            Some(SocketAddr::V4(SocketAddrV4::new(ip, port)))
        }
        libc::AF_INET6 => {
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            let (flow, scope) = (name.sin6_flowinfo, name.sin6_scope_id);
            Some(SocketAddr::V6(SocketAddrV6::new(ip, port, flow, scope)))
        }
        _ => None,
    }
}

const _: () = assert!(size_of::<libc::sockaddr_in>() <= size_of::<libc::sockaddr_in6>());
const _: () = assert!(align_of::<libc::sockaddr_in>() <= align_of::<libc::sockaddr_in6>());

/// madvise(2): gives the pages of all code back to the kernel; they are read again from their files when they run again.
pub(super) fn forget_code() -> io::Result<()> {
    for pages in std::fs::read_to_string("/proc/self/maps")?
        .lines()
        .filter_map(code)
    {
        // SAFETY: the kernel says that this is code mapped from a file, privately and not to be written, so it holds what
        // the file holds, and that is what MADV_DONTNEED restores. It is still the same mapping: nobody here unloads
        // code (dlclose(3)). Rust makes no code that the dynamic linker writes to. What a debugger has written there,
        // its breakpoints, is lost, which changes nothing of what the program does. An error changes nothing at all.
        unsafe {
            libc::madvise(
                ptr::with_exposed_provenance_mut(pages.start),
                pages.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
    Ok(())
}

/// Makes the descriptors that the process was started with ours: `count` of them from `first` on. They are there (who
/// asks has made them close-on-exec already). Nobody gets them a second time.
pub(super) fn adopt(first: RawFd, count: usize) -> Vec<OwnedFd> {
    static ADOPTED: AtomicBool = AtomicBool::new(false);
    if ADOPTED.swap(true, Ordering::Relaxed) {
        return Vec::new();
    }
    let descriptors = (first..).take(count);
    // SAFETY: the environment says that the process was started with them for its own use (sd_listen_fds(3)); they were
    // open before anything here was, so nothing else owns them, and as this runs once nothing else will.
    descriptors
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// sigaction(2): whether that signal does nothing to this process.
pub(super) fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: a plain C structure of integers and a pointer to a function, for which all zeros (the default) is a value.
    let mut action = unsafe { mem::zeroed::<libc::sigaction>() };
    // SAFETY: without a new action the kernel only writes what there is, to a structure of the right size.
    let result = unsafe { libc::sigaction(signal, ptr::null(), &mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// malloc_trim(3): gives free memory of the heap back to the kernel, where the C library can.
pub(super) fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes no pointer, and locks the heap by itself.
    unsafe {
        libc::malloc_trim(0);
    }
}
