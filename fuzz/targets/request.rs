//! A line from the control socket: refused, or a request that reads the same after it was written.
#![no_main]

use sluice::socket::protocol::Request;

libfuzzer_sys::fuzz_target!(|line: &[u8]| {
    if let Ok(request) = serde_json::from_slice::<Request>(line) {
        let written = serde_json::to_vec(&request).expect("a request can be written");
        let read: Request = serde_json::from_slice(&written).expect("and read");
        assert_eq!(read, request);
    }
});
