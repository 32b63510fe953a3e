//! Offloads of a network interface, over the `ethtool` ioctl.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// An offload that can be read and switched. Values: the commands to read and to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// Receiver: segments of a flow are merged before the stack sees them. On a veth it also turns on
    /// the receive queue that frames redirected by XDP need.
    Gro,
    /// Sender: the transport checksum is left to hardware.
    TxChecksum,
    /// Receiver: segments are merged by hardware beyond recognition. What is forwarded must not be.
    Lro,
}

impl Feature {
    /// `ETHTOOL_G…` and `ETHTOOL_S…`, and the bit in the value.
    const fn commands(self) -> (u32, u32, u32) {
        match self {
            Feature::Gro => (0x2b, 0x2c, 1),
            Feature::TxChecksum => (0x16, 0x17, 1),
            // ETHTOOL_GFLAGS, ETHTOOL_SFLAGS, ETH_FLAG_LRO.
            Feature::Lro => (0x25, 0x26, 1 << 15),
        }
    }
}

/// `ETHTOOL_GDRVINFO`.
const GET_DRIVER: u32 = 0x03;

/// `struct ethtool_value`.
#[repr(C)]
#[derive(Default)]
struct Value {
    command: u32,
    data: u32,
}

/// The start of `struct ethtool_drvinfo`, with room for the rest.
#[repr(C)]
struct DriverInfo {
    command: u32,
    driver: [u8; 32],
    rest: [u8; 160],
}

const _: () = assert!(size_of::<DriverInfo>() == 196);

/// The door to the drivers of a network namespace.
pub(crate) struct Ethtool {
    socket: OwnedFd,
}

impl Ethtool {
    /// Opens it for the current thread's network namespace.
    pub fn open() -> io::Result<Ethtool> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(AddressFamily::Inet, SockType::Datagram, flags, None)?;
        Ok(Ethtool { socket })
    }

    /// Whether an offload is on.
    pub fn get(&self, interface: &str, feature: Feature) -> io::Result<bool> {
        let (get, _, bit) = feature.commands();
        let value = self.value(interface, get, 0)?;
        Ok(value & bit != 0)
    }

    /// Switches an offload.
    pub fn set(&self, interface: &str, feature: Feature, on: bool) -> io::Result<()> {
        let (get, set, bit) = feature.commands();
        let before = self.value(interface, get, 0)?;
        let after = if on { before | bit } else { before & !bit };
        if after != before {
            self.value(interface, set, after)?;
        }
        Ok(())
    }

    /// The driver's name, e.g. `veth`, `tun`, `virtio_net`.
    pub fn driver(&self, interface: &str) -> io::Result<String> {
        let mut info = DriverInfo {
            command: GET_DRIVER,
            driver: [0; 32],
            rest: [0; 160],
        };
        // SAFETY: GET_DRIVER fills a `struct ethtool_drvinfo`, whose size `info` has.
        unsafe { self.ioctl(interface, &raw mut info)? };
        let name = info.driver.split(|&byte| byte == 0).next();
        Ok(String::from_utf8_lossy(name.unwrap_or_default()).into_owned())
    }

    fn value(&self, interface: &str, command: u32, data: u32) -> io::Result<u32> {
        let mut value = Value { command, data };
        // SAFETY: the commands of `Feature` read and write a `struct ethtool_value`.
        unsafe { self.ioctl(interface, &raw mut value)? };
        Ok(value.data)
    }

    /// # Safety
    /// `data` must point at the structure that its command, its first word, works on.
    unsafe fn ioctl<T>(&self, interface: &str, data: *mut T) -> io::Result<()> {
        // SAFETY: `ifreq` is plain data, for which zeroes are valid.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        // The name keeps its final NUL.
        if interface.len() >= request.ifr_name.len() {
            return Err(io::Error::from_raw_os_error(libc::ENODEV));
        }
        for (to, from) in request.ifr_name.iter_mut().zip(interface.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_data = data.cast();
        // SAFETY: the request holds a terminated name and a pointer that the caller vouches for; both
        // outlive the call.
        let result = unsafe { libc::ioctl(self.socket.as_raw_fd(), libc::SIOCETHTOOL, &request) };
        match result {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
