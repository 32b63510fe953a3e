//! The protocol: HTTP, signatures, nonces, rates, answers.
