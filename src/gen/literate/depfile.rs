//! Depfiles: what a run read, in Make's syntax as far as Ninja reads it.

use std::collections::BTreeSet;

/// The names behind the target of a depfile with one rule.
pub(super) fn read(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut name = String::new();
    let mut is_behind = false;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some('\n')) => {
                letters.next();
            }
            ('\\', Some(' ' | '#')) => name.extend(letters.next()),
            ('$', Some('$')) => name.extend(letters.next()),
            (':', None | Some(' ' | '\n')) if !is_behind => {
                is_behind = true;
                name.clear();
                continue;
            }
            (letter, _) if !letter.is_whitespace() => {
                name.push(letter);
                continue;
            }
            (_, _) if is_behind && !name.is_empty() => {
                names.insert(std::mem::take(&mut name));
            }
            _ => {}
        }
        if letter == '\\' && letters.peek().is_none() {
            break;
        }
    }
    if is_behind && !name.is_empty() {
        names.insert(name);
    }
    names
}

/// A depfile with one rule.
pub(super) fn write<'a>(target: &str, names: impl IntoIterator<Item = &'a String>) -> String {
    let mut text = format!("{}:", escaped(target));
    for name in names {
        text.push_str(" \\\n ");
        text.push_str(&escaped(name));
    }
    text.push('\n');
    text
}

fn escaped(name: &str) -> String {
    let name = name.replace('$', "$$").replace('#', "\\#");
    name.replace(' ', "\\ ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let names: BTreeSet<String> = ["a b", "c$d", "e#f", "g:h", "i\\j", "k"]
            .map(String::from)
            .into();
        let text = write("x y.ninja", &names);
        assert!(text.starts_with("x\\ y.ninja: \\\n"), "{text}");
        assert_eq!(read(&text), names);
        assert_eq!(read("a.pdf:\n"), BTreeSet::new());
        assert_eq!(read("a.pdf: b c"), ["b", "c"].map(String::from).into());
    }
}
