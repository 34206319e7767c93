//! What is read is what real Ninja reads.

use super::*;
use std::fs;
use std::process::Command;

/// All commands, each with its first output, as they are understood here.
fn ours(dir: &Path) -> Vec<(String, String)> {
    let mut from_disk = |path: &Path| fs::read(dir.join(path));
    let manifest = load(Path::new("build.ninja"), &mut from_disk).unwrap();
    let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let of = |edge: &Edge| {
        let command = flat(&manifest.of_edge(edge, "command").unwrap());
        (lossy(&edge.outputs[0]), lossy(&command))
    };
    let mut all: Vec<_> = manifest.edges.iter().map(of).collect();
    all.sort();
    all
}

/// The same, as Ninja has them, without `phony` ones; none where there is no Ninja.
fn ninjas(dir: &Path) -> Option<Vec<(String, String)>> {
    let mut command = Command::new("ninja");
    let output = match command.args(["-t", "compdb"]).current_dir(dir).output() {
        Ok(output) => output,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => panic!("cannot run ninja: {error}"),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let all: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap().to_owned();
    let all = all.as_array().unwrap().iter();
    let mut all: Vec<_> = all
        .map(|one| (text(one, "output"), text(one, "command")))
        .filter(|(_, command)| !command.is_empty())
        .collect();
    all.sort();
    Some(all)
}

fn compare(files: &[(&str, &str)]) {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    let ours = ours(dir.path());
    assert!(!ours.is_empty());
    if let Some(ninjas) = ninjas(dir.path()) {
        assert_eq!(ours, ninjas);
    }
}

#[test]
fn scopes_are_ninjas() {
    compare(&[
        (
            "build.ninja",
            "x = 1\ny = $x$x\nx = 2\n\
             rule r\n  command = r $x $y $z $description $in -- $out ${depfile}\n  description = <$x $in>\n  depfile = $own\n\
             build a: r i\n\
             build b | bb: r i 'j$ k | l || m\n  x = 3\n  z = $x$y\n\
             build ./c//d/../e: r ../x/./y a/..\n  own = here\n  command = other $own $out\n\
             include inc\nsubninja sub\nx = 9\ndescription = top\n\
             build last: r i\nbuild mine: r i\n  q = 1\nbuild p: phony a\n",
        ),
        (
            "inc",
            "x = from-inc\nbuild inc-$x: r i\nrule s\n  command = s $x\n",
        ),
        (
            "sub",
            "build sub1: r $x\nx = sub\nbuild sub2: r $x\n\
             rule r\n  command = inner $x $y\nbuild sub3: r i\nbuild sub4: s i\n  x = e\n",
        ),
    ]);
}

#[test]
fn escapes_are_ninjas() {
    compare(&[(
        "build.ninja",
        "v = $ a$$b$:c $\n    d|e\nrule r\n  command = $v '$in_newline' $\n     $out\n\n\
         build a$ b$:c $\n  ${v}x: r $v in$$\n# end\nbuild q: r i\n  v = a$\n\n",
    )]);
}

#[test]
fn what_ninja_refuses_is_refused() {
    for (text, error) in [
        ("build a: r\n", "`build.ninja`: there is no rule `r`"),
        ("include x\n", "cannot read `x`"),
        ("include build.ninja\n", "`build.ninja` includes itself"),
        ("x\n", "`build.ninja`: line 1: expected `=`"),
    ] {
        let mut one = |path: &Path| match path == Path::new("build.ninja") {
            true => Ok(text.as_bytes().to_vec()),
            false => Err(std::io::ErrorKind::NotFound.into()),
        };
        let found = load(Path::new("build.ninja"), &mut one).unwrap_err();
        assert_eq!(found.to_string(), error, "{text}");
    }
    let text =
        "rule r\n  command = $depfile\n  depfile = $rspfile\n  rspfile = $depfile\nbuild x: r\n";
    let mut one = |_: &Path| Ok(text.as_bytes().to_vec());
    let manifest = load(Path::new("build.ninja"), &mut one).unwrap();
    let error = manifest.of_edge(&manifest.edges[0], "command").unwrap_err();
    assert_eq!(
        error.to_string(),
        "the variable `depfile` of a rule is made of itself"
    );
}

#[test]
fn values_know_where_they_come_from() {
    let text = "cc = gcc\nrule r\n  command = $cc -c$in\nbuild x: r y\n";
    let mut one = |_: &Path| Ok(text.as_bytes().to_vec());
    let manifest = load(Path::new("build.ninja"), &mut one).unwrap();
    let value = manifest.of_edge(&manifest.edges[0], "command").unwrap();
    let at = |what: &str| Place {
        file: 0,
        at: text.find(what).unwrap(),
    };
    assert_eq!(value[0].places, [at("$cc"), at("gcc")]);
    assert_eq!(value[1].places, [at(" -c")]);
    assert_eq!(value[2].places, [at("$in")]);
}
