//! The configuration file: any text is read or refused with at least one line of reasons, and what is
//! read has nothing wrong with it.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| {
    match model::file::parse(text) {
        Ok(config) => assert!(model::validate::check(&config).is_empty()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
