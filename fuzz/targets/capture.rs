//! Captures: any file is read or refused with a reason.
#![no_main]

use inspect::Limits;
use inspect::capture::Capture;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    match Capture::read(data, Limits::default()) {
        Ok(capture) => {
            let packets: u64 = capture.flows.iter().map(|flow| flow.packets).sum();
            // A fragment that is waited for no longer makes a packet of its own.
            assert!(packets <= 2 * capture.packets);
            let sessions = capture.flows.len();
            assert!(
                capture
                    .answers
                    .iter()
                    .all(|it| (1..=sessions).contains(&it.flows))
            );
            for flow in &capture.flows {
                assert_eq!(flow.application().is_some(), flow.state() == "identified");
                assert_ne!(flow.state(), "analysing");
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
