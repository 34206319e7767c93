//! Globs on names: `*`, `?` and `[a-z]`, on bytes, without a compiler or an allocation.
//!
//! Names of programs, variables and words only; globs on paths (`scratch`) are the worker's. Also
//! compiled into the build script.

/// Whether all of `name` matches.
pub(super) fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n) = (0, 0);
    // Where the last `*` stood, and how much of the name it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        if glob.get(g) == Some(&b'*') {
            star = Some((g, n));
            g += 1;
        } else if let Some(next) = one(glob, g, name[n]) {
            g = next;
            n += 1;
        } else if let Some((at, taken)) = star {
            star = Some((at, taken + 1));
            g = at + 1;
            n = taken + 1;
        } else {
            return false;
        }
    }
    glob[g.min(glob.len())..].iter().all(|byte| *byte == b'*')
}

/// Where the glob goes on if its element at `at` matches the byte.
fn one(glob: &[u8], at: usize, byte: u8) -> Option<usize> {
    match glob.get(at)? {
        b'?' => Some(at + 1),
        b'[' => {
            let end = at + glob[at..].iter().position(|b| *b == b']')?;
            in_class(&glob[at + 1..end], byte).then_some(end + 1)
        }
        literal => (*literal == byte).then_some(at + 1),
    }
}

fn in_class(class: &[u8], byte: u8) -> bool {
    match class {
        [low, b'-', high, rest @ ..] => (*low..=*high).contains(&byte) || in_class(rest, byte),
        [only, rest @ ..] => *only == byte || in_class(rest, byte),
        [] => false,
    }
}

/// What is wrong with a glob, if anything.
pub(super) fn fault(glob: &str) -> Option<&'static str> {
    let mut rest = glob;
    if rest.is_empty() {
        return Some("a glob may not be empty");
    }
    while let Some(open) = rest.find(['[', ']']) {
        if rest.as_bytes()[open] == b']' {
            return Some("`]` without `[`");
        }
        let Some(length) = rest[open..].find(']') else {
            return Some("`[` without `]`");
        };
        let class = &rest.as_bytes()[open + 1..open + length];
        if class.is_empty() || class.contains(&b'[') {
            return Some("an empty or nested `[...]`");
        }
        if class.windows(3).any(|w| w[1] == b'-' && w[0] > w[2]) {
            return Some("a range in `[...]` that goes backwards");
        }
        rest = &rest[open + length + 1..];
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_whole_names() {
        for (glob, name, expected) in [
            ("gcc", "gcc", true),
            ("gcc", "gcc-12", false),
            ("gcc-[0-9]*", "gcc-12", true),
            ("gcc-[0-9]*", "gcc-ar", false),
            ("*-linux-gnu-gcc", "aarch64-linux-gnu-gcc", true),
            ("*-linux-gnu-gcc", "-linux-gnu-gcc", true),
            ("*-linux-gnu-gcc", "aarch64-linux-gnu-gcc-12", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("?", "", false),
            ("*", "", true),
            ("[ab-d]x", "cx", true),
            ("[ab-d]x", "ex", false),
        ] {
            assert_eq!(
                matches(glob.as_bytes(), name.as_bytes()),
                expected,
                "{glob} {name}"
            );
        }
    }

    #[test]
    fn names_faults() {
        for bad in ["", "[", "a]", "[]", "[z-a]", "[[a]"] {
            assert!(fault(bad).is_some(), "{bad}");
        }
        assert_eq!(fault("*-[0-9a-f]?"), None);
    }
}
