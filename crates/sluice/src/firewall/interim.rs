//! Reads plain lists, until all formats are read elsewhere.

pub mod feeds {
    use model::FeedFormat;
    use policy::Indicator;
    use std::io::{self, BufRead, BufReader, Read};

    pub struct Count {
        pub indicators: usize,
        pub skipped: usize,
    }

    pub fn read(
        _: FeedFormat,
        from: impl Read,
        each: &mut dyn FnMut(Indicator),
    ) -> io::Result<Count> {
        let mut count = Count {
            indicators: 0,
            skipped: 0,
        };
        for line in BufReader::new(from).lines() {
            let line = line?;
            let line = line.split(['#', ';']).next().unwrap_or_default().trim();
            if line.is_empty() {
                continue;
            }
            let net = line.parse().or_else(|_| format!("{line}/32").parse());
            match (net, model::domain::normalise(line)) {
                (Ok(net), _) => each(Indicator::Net(net)),
                (_, Ok(name)) => each(Indicator::Domain(name)),
                _ => {
                    count.skipped += 1;
                    continue;
                }
            }
            count.indicators += 1;
        }
        Ok(count)
    }

    pub fn builtin() -> impl Iterator<Item = (Indicator, std::sync::Arc<str>)> {
        std::iter::empty()
    }
}
