//! A record of the queue from kernel to daemon: a frame lies in the record that it came in.
#![no_main]

use flow::abi::PuntHeader;

libfuzzer_sys::fuzz_target!(|record: &[u8]| {
    if let Some((header, frame)) = PuntHeader::split(record) {
        assert_eq!(frame.len(), header.len as usize);
        assert!(PuntHeader::LEN + frame.len() <= record.len());
    }
});
