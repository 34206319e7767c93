//! Puts the hub's paths back into what a tool printed or wrote in the rewrite view.
//!
//! A pure streaming replacer over bytes: leftmost match first, at one place the longest. Where the
//! stream is cut makes no difference: what may still become a match is held back until it is
//! decided. Knows nothing of views; it is given pairs of texts.

/// A replacer of several texts in one pass over a stream.
#[derive(Clone, Debug, Default)]
pub struct MapBack {
    /// What to look for, and what to write instead; longest first.
    pairs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The undecided end of the stream so far.
    held: Vec<u8>,
}

enum At {
    /// The pair of this index matches here.
    Match(usize),
    /// A match could still come, or become longer.
    Undecided,
    Nothing,
}

impl MapBack {
    /// Takes pairs of what to look for and what to write instead. An empty text is never found;
    /// of two pairs for one text the first holds.
    pub fn new(pairs: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().filter(|(f, _)| !f.is_empty()).collect();
        // Stable, so that the first of two pairs for one text stays before the other.
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        Self {
            pairs,
            held: Vec::new(),
        }
    }

    /// Whether nothing is ever replaced.
    pub fn is_idle(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Takes the next bytes of the stream and gives what is decided by now.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.held);
        bytes.extend_from_slice(chunk);
        self.replace(&bytes, false)
    }

    /// Ends the stream and gives the rest. The replacer can be used for another stream after it.
    pub fn finish(&mut self) -> Vec<u8> {
        let bytes = std::mem::take(&mut self.held);
        self.replace(&bytes, true)
    }

    /// Replaces in a whole text at once.
    pub fn whole(&self, text: &[u8]) -> Vec<u8> {
        let mut fresh = Self {
            pairs: self.pairs.clone(),
            held: Vec::new(),
        };
        fresh.replace(text, true)
    }

    fn replace(&mut self, bytes: &[u8], last: bool) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
            let plain = rest.iter().position(|byte| self.begins(*byte));
            let plain = plain.unwrap_or(rest.len());
            out.extend_from_slice(&rest[..plain]);
            at += plain;
            if plain == rest.len() {
                break;
            }
            match self.look(&bytes[at..], last) {
                At::Match(index) => {
                    let (from, to) = &self.pairs[index];
                    out.extend_from_slice(to);
                    at += from.len();
                }
                At::Undecided => {
                    self.held = bytes[at..].to_vec();
                    break;
                }
                At::Nothing => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        out
    }

    fn begins(&self, byte: u8) -> bool {
        self.pairs.iter().any(|(from, _)| from[0] == byte)
    }

    fn look(&self, rest: &[u8], last: bool) -> At {
        for (index, (from, _)) in self.pairs.iter().enumerate() {
            if rest.starts_with(from) {
                return At::Match(index);
            }
            if !last && from.starts_with(rest) {
                return At::Undecided;
            }
        }
        At::Nothing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn replacer() -> MapBack {
        MapBack::new(
            [
                ("/cpods/root/1", "/home/u/one"),
                ("/cpods/root/12", "/srv/twelve"),
                ("/cpods/out/1/obj/a.o", "obj/a.o"),
                ("/cpods/out/1", "/home/u/one"),
            ]
            .map(|(from, to)| (from.into(), to.into())),
        )
    }

    #[test]
    fn replaces_the_longest() {
        for (text, mapped) in [
            ("", ""),
            ("/cpods/root/1/a.c:1: x", "/home/u/one/a.c:1: x"),
            ("/cpods/root/12/a.c", "/srv/twelve/a.c"),
            ("a.o: /cpods/root/1", "a.o: /home/u/one"),
            ("/cpods/out/1/obj/a.o: x", "obj/a.o: x"),
            ("/cpods/out/1/obj/a.d", "/home/u/one/obj/a.d"),
            ("/cpods/cpods/root/1", "/cpods/home/u/one"),
            ("//cpods/root/", "//cpods/root/"),
        ] {
            let found = replacer().whole(text.as_bytes());
            assert_eq!(String::from_utf8(found).unwrap(), mapped, "{text}");
        }
    }

    #[test]
    fn holds_back_only_what_is_undecided() {
        let mut replacer = replacer();
        assert_eq!(replacer.push(b"see /cpods/ro"), b"see ");
        assert_eq!(replacer.push(b"ot/1"), b"");
        assert_eq!(replacer.push(b"2/x"), b"/srv/twelve/x");
        assert_eq!(replacer.push(b"/cpods/root/1"), b"");
        assert_eq!(replacer.finish(), b"/home/u/one");
        assert_eq!(replacer.push(b"ab"), b"ab");
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same(
            words in prop::collection::vec(
                prop_oneof![
                    Just("/cpods/root/1".to_owned()),
                    Just("/cpods/root/12".to_owned()),
                    Just("/cpods/out/1/obj/a.o".to_owned()),
                    Just("/cpods/".to_owned()),
                    Just("/".to_owned()),
                    Just("2".to_owned()),
                    "[/a-z0-9]{0,6}",
                ],
                0..12,
            ),
            cuts in prop::collection::vec(0_usize..200, 0..12),
        ) {
            let text = words.concat().into_bytes();
            let whole = replacer().whole(&text);
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut replacer = replacer();
            let mut pieces = Vec::new();
            for pair in cuts.windows(2) {
                pieces.extend(replacer.push(&text[pair[0]..pair[1]]));
            }
            pieces.extend(replacer.finish());
            prop_assert_eq!(pieces, whole);
        }
    }
}
