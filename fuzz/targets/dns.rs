//! DNS messages: whatever is read ends, is bounded, and an answer to a query is an answer to it.
#![no_main]

use inspect::dns::{MAX_ANSWERS, Message, refuse, split};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let message = Message::parse(data);
    if let Some(message) = &message {
        let most = usize::from(MAX_ANSWERS);
        assert!(message.addresses.len() <= most && message.question.name.len() <= 1024);
    }
    for empty in [false, true] {
        let Some(answer) = refuse(data, empty) else {
            continue;
        };
        assert!(answer.len() <= data.len() + 11);
        let (query, answer) = (
            message.as_ref(),
            Message::parse(&answer).expect("it is a message"),
        );
        assert!(answer.response && answer.code == if empty { 0 } else { 5 });
        if let Some(query) = query {
            assert_eq!((answer.id, &answer.question), (query.id, &query.question));
        }
        assert!(answer.addresses.is_empty());
    }
    let (messages, taken) = split(data);
    assert!(taken <= data.len() && messages.iter().map(|it| it.len() + 2).sum::<usize>() == taken);
});
